//! What happens by the clock: the night's selection and sum, and what the morning brings back. No I/O.

pub mod morning;
pub mod night;
