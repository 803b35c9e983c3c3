//! Route 53: hosted zones, the records at a domain, whose they are, and how they change.
//!
//! What is to change is decided without I/O: [`alias::differ`], [`validation::differ`] and [`restore`] return edits, [`apply`]
//! carries them out. Only `alias` and `validation` (at their ends), `batch`, `lock`, `read`, `resolver` and `zone` make calls.

pub mod alias;
mod around;
mod batch;
mod caa;
mod carried;
mod domain_records;
pub mod lock;
mod ownership;
mod public;
mod read;
mod record;
mod resolver;
mod restoration;
mod seen_records;
pub mod validation;
mod zone;

pub use alias::{diff, is_claimable};
pub use around::Around;
pub use batch::{Edit, apply, is_outdated};
pub use domain_records::DomainRecords;
pub use ownership::{Ownership, Remembered, is_owned};
pub use public::{Public, forbidden};
pub use read::{around, domain_records};
pub use record::{is_of_kind, not_albatross, txt, txt_values};
pub use resolver::Resolver;
pub use restoration::{Now, Restoration, farewell, restore};
pub use seen_records::SeenRecords;
pub use validation::remove_cname;
pub use zone::{choose_zone, find_zone, zones};
