//! Skeleton: listeners and connections.
