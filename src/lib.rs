//! HTTPS in front of an EC2 instance, and gone again: the nouns.
//!
//! One file per AWS resource with how it is found, made and removed side by side. The binaries in
//! `functions/` are the verbs; `statemachine/` chains them. Pure: [`environment`], [`former`], [`morning`], [`network::choose`], [`night`],
//! [`dns::point`], [`dns::restore`], [`price`], [`teardown`]. State lives in AWS alone: tags and the DNS ownership record.

pub mod address;
pub mod aws;
pub mod certificate;
pub mod dns;
pub mod environment;
#[cfg(test)]
mod environment_fuzz;
pub mod error;
pub mod execution;
pub mod former;
pub mod instance;
pub mod lambda;
pub mod listener;
pub mod load_balancer;
pub mod lock;
pub mod metric;
pub mod morning;
pub mod network;
pub mod night;
pub mod price;
pub mod probe;
pub mod security_group;
pub mod step;
pub mod tags;
pub mod target_group;
pub mod teardown;

pub use environment::Environment;
pub use error::{Error, Result};
