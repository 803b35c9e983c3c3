//! Security groups: the load balancer's own, and the rules in the instances' groups that admit it.

mod api;
mod own;
pub mod rule;

pub use api::Rules;
pub use own::{
    Difference, Found, Tagged, check_released, check_standing, create, differ, find, find_id, named, of_domain, remove,
    tagged,
};
