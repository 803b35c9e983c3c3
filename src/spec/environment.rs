//! One environment, checked and resolved: what the input asks for, and where it is to stand. No I/O.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::ids::{Target, Zone};
use super::input::Input;
use super::names;
use crate::owner::Owner;

/// A domain, its load balancer and all that belongs to it: check-input resolves it, and every later function is given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    pub owner: Owner,
    /// Of the stack's user, on all that is made.
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
    /// The instances' own groups that are to admit the load balancer.
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

    /// For APIs that take one: the same for the same environment and `salt`, whoever asks and how often.
    /// 32 of `[0-9a-f]`, as ACM's pattern `\w+` and length 32 want.
    pub fn idempotency_token(&self, salt: &[String]) -> String {
        let mut parts = vec![self.owner.stack.as_str(), &self.name, self.domain()];
        parts.extend(salt.iter().map(String::as_str));
        names::hash(&parts.join("\n"), 32)
    }

    /// How many public IPv4 addresses the instances have: each is billed.
    pub fn public_ipv4(&self) -> usize {
        let addresses = self.targets.iter().flat_map(|target| &target.addresses);
        addresses.filter(|address| address.parse::<Ipv4Addr>().is_ok()).count()
    }

    /// The Strict-Transport-Security header.
    pub fn hsts_header(&self) -> String {
        format!("max-age={}", self.input.hsts_max_age)
    }
}

#[cfg(test)]
impl Environment {
    /// For the tests of what works on one: `api.example.com` before the instance `i-1`.
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
