//! Route 53: hosted zones, record sets, whose they are, the lock, the alias to the load balancer, validation CNAMEs.
//!
//! What to change is a pure function of what stands ([`alias::differ`], [`restore`]); the effects are below it.

pub mod alias;
mod around;
mod caa;
pub mod lock;
mod ownership;
mod public;
mod record;
mod resolver;
mod restoration;
mod standing;
pub mod validation;
mod zone;

pub use alias::{AtDomain, diff, is_claimable};
pub use around::{Around, around, standing};
pub use ownership::{Ownership, Previous, farewell, is_owned};
pub use public::{Public, forbidden};
pub use record::{Edit, apply, is_of_kind, is_outdated, not_albatross, txt, txt_values};
pub use resolver::Resolver;
pub use restoration::{Now, Restoration, restore};
pub use standing::Standing;
pub use validation::remove_cname;
pub use zone::{choose_zone, find_zone, zones};
