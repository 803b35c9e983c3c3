//! Teardown: which environment, what stands of it and what is decided about each, and how that is carried out.

pub mod act;
pub mod identity;
pub mod item;
pub mod list;

pub use identity::Identity;
pub use item::{CertificatePolicy, Decision, Input, Item, Outcome};
pub use list::{Action, Listed};
