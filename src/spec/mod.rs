//! What an execution asks for, and the names and ids that follow from it. Nothing here calls AWS.

pub mod environment;
pub mod ids;
pub mod input;
pub mod names;
pub mod teardown_input;
