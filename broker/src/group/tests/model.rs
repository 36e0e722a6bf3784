//! Random members against a few laws.
