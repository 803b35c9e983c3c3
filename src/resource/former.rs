//! What an environment has used and uses no more: targets, rules that admit the load balancer, zones. It serves on until
//! what is wanted has proved to serve, and goes then. No I/O.

use serde::{Deserialize, Serialize};

use crate::resource::security_group::FormerRule;
use crate::resource::target_group::FormerTarget;
use crate::step::Step;

/// Found by create-alb, taken away by retire-former.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Former {
    pub targets: Vec<FormerTarget>,
    pub rules: Vec<FormerRule>,
    /// Availability Zones of the load balancer; its own row tells them.
    pub zones: Vec<String>,
}

impl Former {
    /// `None` where nothing is.
    pub fn of(targets: Vec<FormerTarget>, rules: Vec<FormerRule>, zones: Vec<String>) -> Option<Self> {
        let is_any = !(targets.is_empty() && rules.is_empty() && zones.is_empty());
        is_any.then_some(Former { targets, rules, zones })
    }

    /// The rows of what goes.
    pub fn steps(&self) -> Vec<Step> {
        self.targets.iter().map(FormerTarget::step).chain(self.rules.iter().map(FormerRule::step)).collect()
    }
}
