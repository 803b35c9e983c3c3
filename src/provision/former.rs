//! What an environment has used before and uses no more: targets, rules that admit the load balancer, zones. It serves on
//! until what is wanted has proved to serve, and goes then.

use aws_sdk_ec2 as ec2;
use aws_sdk_elasticloadbalancingv2 as elb;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::resource::load_balancer;
use crate::resource::security_group::rule::{self, FormerRule};
use crate::resource::target::{self, FormerTarget};
use crate::spec::environment::Environment;
use crate::step::Step;

/// Found by create-alb, removed by retire-former.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Former {
    pub targets: Vec<FormerTarget>,
    pub rules: Vec<FormerRule>,
    /// Availability Zones of the load balancer, whose own row tells of them.
    pub zones: Vec<String>,
}

impl Former {
    /// `None` where there is nothing to remove.
    pub fn of(targets: Vec<FormerTarget>, rules: Vec<FormerRule>, zones: Vec<String>) -> Option<Self> {
        let is_any = !(targets.is_empty() && rules.is_empty() && zones.is_empty());
        is_any.then_some(Former { targets, rules, zones })
    }

    pub fn steps(&self) -> Vec<Step> {
        self.targets.iter().map(FormerTarget::step).chain(self.rules.iter().map(FormerRule::step)).collect()
    }

    /// Removes all of it: targets first, and what they were reached through once the load balancer knows.
    ///
    /// # Errors
    /// [`Error::TargetsLeaving`] where the load balancer may still send to a target.
    pub async fn apply(
        &self,
        ec2: &ec2::Client,
        elb: &elb::Client,
        environment: &Environment,
        load_balancer: &str,
        target_group: &str,
    ) -> Result<()> {
        let Former { targets, rules, zones } = self;
        let in_use = target::remove(elb, target_group, targets).await?;
        if in_use && !(rules.is_empty() && zones.is_empty()) {
            let left = targets.iter().map(|target| format!("{} on port {}", target.id, target.port));
            return Err(Error::TargetsLeaving(left.collect::<Vec<_>>().join(", ")));
        }
        let zones = async {
            match zones.is_empty() {
                true => Ok(()),
                false => load_balancer::leave_zones(elb, environment, load_balancer).await,
            }
        };
        // All to their end, whatever one of them says.
        let rules = join_all(rules.iter().map(|former| rule::remove(ec2, &former.rule)));
        let (removed, left) = tokio::join!(rules, zones);
        removed.into_iter().collect::<Result<()>>()?;
        left
    }
}
