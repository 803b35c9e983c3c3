//! Puts HTTPS in front of an EC2 instance, and takes it away again.
//!
//! Files import downwards only. The ground ([`error`], [`step`], [`price`] and the other files beside this one) knows nothing
//! above it. [`spec`] is what an execution asks for, without I/O. [`resource`] has one file for each AWS resource. [`teardown`]
//! and [`schedule`] work with those. Each binary in `functions/` is one state of the machines in `statemachine/`.
//!
//! No state is kept anywhere but in AWS: in tags, in what stands, and in the DNS ownership record. `docs/how-it-works.md`
//! explains how that holds.

pub mod aws;
pub mod error;
#[cfg(test)]
mod input_fuzz;
pub mod kind;
pub mod lambda;
pub mod metric;
pub mod owner;
pub mod price;
pub mod provision;
pub mod resource;
pub mod schedule;
pub mod spec;
pub mod step;
pub mod teardown;

pub use error::{Error, Result};
