//! What an execution asks for, and the names and ids that follow from it: no SDK, no I/O.

pub mod environment;
pub mod ids;
pub mod input;
pub mod names;
pub mod teardown_input;
