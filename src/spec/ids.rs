//! The ids, names and addresses that one resource knows of another. AWS gave them. No I/O.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::names;

/// What others know of a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerIds {
    pub arn: String,
    pub dns_name: String,
    /// The hosted zone that AWS has for the load balancer's own DNS name. An alias record names it.
    pub canonical_hosted_zone_id: String,
}

impl LoadBalancerIds {
    /// Stands for one that is to be made, whose ids nobody knows yet.
    pub fn to_be_made(name: &str) -> Self {
        let id = names::to_be_made(name);
        LoadBalancerIds { arn: id.clone(), dns_name: id.clone(), canonical_hosted_zone_id: id }
    }
}

/// A target group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroupIds {
    pub arn: String,
    pub vpc: String,
}

/// A public hosted zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Without the API's `/hostedzone/` prefix.
    pub id: String,
    /// Without the trailing dot.
    pub name: String,
}

/// A CNAME that proves to ACM the control of a domain, without trailing dots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationRecord {
    pub name: String,
    pub value: String,
}

/// An instance that traffic goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub id: String,
    /// Public addresses and DNS names of all its network interfaces, as [`destination`]s. A DNS record that points at one of
    /// them may be taken over.
    pub addresses: Vec<String>,
    /// The addresses that it had when a night put the domain's record back. An instance that was stopped since has others.
    pub former: Vec<String>,
}

impl Target {
    /// Whether a value of a DNS record leads to the instance, or led to it when a night put the record back.
    pub fn has(&self, value: &str) -> bool {
        let destination = destination(value);
        self.addresses.contains(&destination) || self.former.contains(&destination)
    }
}

/// Writes an address or DNS name in one way, so that two can be compared: IPv6 has many ways, and names differ in case and in a
/// trailing dot.
pub fn destination(value: &str) -> String {
    match value.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => value.trim_end_matches('.').to_ascii_lowercase(),
    }
}
