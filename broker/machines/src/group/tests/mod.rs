//! Groups by scripts, by a model, and by their records.

mod model;
mod records;
mod script;
