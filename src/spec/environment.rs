//! One environment, checked and resolved: what its input asks for, and where that is to stand. No I/O.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::ids::{Target, Zone};
use super::input::Input;
use super::names;
use crate::owner::Owner;

/// A domain with its load balancer and everything else that is made for it. check-input resolves it, and every later function
/// is given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    pub owner: Owner,
    /// The tags of the stack's parameter ResourceTags, for everything that is made.
    pub tags: BTreeMap<String, String>,
    pub name: String,
    pub input: Input,
    pub zone: Zone,
    pub vpc: String,
    pub subnets: Vec<String>,
    /// The subnets' Availability Zones, in their order.
    pub zones: Vec<String>,
    /// The input's instances, in their order.
    pub targets: Vec<Target>,
    /// The instances' own security groups in which a rule is to admit the load balancer.
    pub groups_to_open: Vec<String>,
}

impl Environment {
    pub fn domain(&self) -> &str {
        &self.input.domain
    }

    pub fn load_balancer_name(&self) -> String {
        names::load_balancer(&self.name)
    }

    pub fn target_group_name(&self) -> String {
        names::target_group(&self.name)
    }

    pub fn security_group_name(&self) -> String {
        names::security_group(&self.name)
    }

    /// Returns a token for calls that take one, so that a repeated call makes nothing twice. It is the same for the same
    /// environment and `salt`. It is 32 of `[0-9a-f]`, which fits ACM's pattern `\w+` and its length of 32.
    pub fn idempotency_token(&self, salt: &[String]) -> String {
        let mut parts = vec![self.owner.stack.as_str(), &self.name, self.domain()];
        parts.extend(salt.iter().map(String::as_str));
        names::hash(&parts.join("\n"), 32)
    }

    /// Counts the instances' public IPv4 addresses, each of which AWS bills.
    pub fn public_ipv4(&self) -> usize {
        let addresses = self.targets.iter().flat_map(|target| &target.addresses);
        addresses.filter(|address| address.parse::<Ipv4Addr>().is_ok()).count()
    }

    /// Returns the value of the Strict-Transport-Security header.
    pub fn hsts_header(&self) -> String {
        format!("max-age={}", self.input.hsts_max_age)
    }
}

#[cfg(test)]
impl Environment {
    /// An environment for tests: `api.example.com` with the instance `i-1`.
    pub fn example() -> Self {
        let input = serde_json::json!({"domain": "api.example.com", "instances": ["i-0abc1234def567890"]});
        Environment {
            owner: Owner { stack: "albatross".into(), region: "us-east-1".into(), account: "123456789012".into() },
            tags: BTreeMap::new(),
            name: "api-example-com".into(),
            input: Input::parse(input).unwrap(),
            zone: Zone { id: "Z1".into(), name: "example.com".into() },
            vpc: "vpc-1".into(),
            subnets: vec!["subnet-a".into(), "subnet-b".into()],
            zones: vec!["us-east-1a".into(), "us-east-1b".into()],
            targets: vec![Target { id: "i-1".into(), ..Target::default() }],
            groups_to_open: vec![],
        }
    }
}
