//! Route 53: hosted zones, record sets, whose they are, the alias to the load balancer, validation CNAMEs.
//!
//! What to change is a pure function of what stands ([`point`], [`restore`]); the effects are below it.

mod alias;
mod around;
mod caa;
mod ownership;
mod public;
mod record;
mod resolver;
mod restoration;
mod validation;
mod zone;

pub use alias::{AtDomain, diff, ensure_alias, is_claimable, point, pointed, would_edit};
pub use around::{Around, around};
pub use ownership::{Owner, Ownership, Previous, farewell, is_owned, ownership_name};
pub use public::{Public, forbidden};
pub use record::{Edit, Standing, apply, is_outdated, not_albatross, standing, txt, txt_values};
pub use resolver::Resolver;
pub use restoration::{Now, Restoration, Returned, restore};
pub use validation::{ensure_cname, plan_cname, remove_cname};
pub use zone::{choose_zone, find_zone, zones};
