//! One file a resource: how it is found, what differs from what is wanted, how that is carried out, and how it is removed.

pub mod address;
pub mod certificate;
pub mod dns;
pub mod execution;
pub mod instance;
pub mod listener;
pub mod load_balancer;
pub mod network;
pub mod probe;
pub mod security_group;
pub mod seen;
pub mod tags;
pub mod target;
pub mod target_group;
