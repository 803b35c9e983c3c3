//! HTTPS in front of an EC2 instance, and gone again.
//!
//! Files import downwards only: [`error`], [`step`], [`price`] and their neighbours know nobody; [`spec`] is what an execution
//! asks for, without I/O; [`resource`] has one file for each AWS resource; [`teardown`] and [`schedule`] work with those. The
//! binaries in `functions/` are the steps, and `statemachine/` chains them. State lives in AWS alone: in tags, in what stands
//! and in the DNS ownership record.

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
