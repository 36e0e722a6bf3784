mod model;
mod records;
mod script;
