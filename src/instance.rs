//! The user's instances: checked before they become targets; stopped or terminated at teardown with consent.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use aws_sdk_ec2 as ec2;
use ec2::types::{Filter, Instance, InstanceStateName};
use serde::{Deserialize, Serialize};

use crate::error::{Call, Codes, Error, Result};
use crate::tags::{ON_TEARDOWN, Tags};

/// An instance that traffic goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub id: String,
    /// Public addresses and DNS names of all its network interfaces, as [`destination`]s: what a DNS record that may be
    /// taken over points at.
    pub addresses: Vec<String>,
}

impl Target {
    /// Whether a value of a DNS record leads to it.
    pub fn has(&self, value: &str) -> bool {
        self.addresses.contains(&destination(value))
    }
}

/// An address or DNS name in the one way of writing it: IPv6 has many, and names differ in case and a trailing dot.
pub fn destination(value: &str) -> String {
    match value.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => value.trim_end_matches('.').to_ascii_lowercase(),
    }
}

/// What check-input needs to know of the instances.
#[derive(Debug)]
pub struct Found {
    pub vpc: String,
    pub targets: Vec<Target>,
    /// Availability Zones, in the order of the instances.
    pub zones: Vec<String>,
    /// For each instance the ids of its security groups, in the instance's order.
    pub groups: Vec<Vec<String>>,
    pub group_names: BTreeSet<String>,
}

/// Describes the instances of an input, each checked to exist, run, and lie in one VPC.
///
/// # Errors
/// [`Error::InvalidInput`] with the path of the instance.
pub async fn check(client: &ec2::Client, ids: &[String]) -> Result<Found> {
    let answer = client.describe_instances().set_instance_ids(Some(ids.to_vec())).send().await;
    let answer = match answer.call("ec2:DescribeInstances") {
        Err(Error::AwsRefused(refusal)) if refusal.code.starts_with("InvalidInstanceID") => {
            // AWS names the missing ids in its message, and only there.
            let missing = ids.iter().position(|id| refusal.message.contains(id.as_str()));
            let path = missing.map_or("$.instances".into(), |index| format!("$.instances[{index}]"));
            return Err(Error::input(path, format!("{}. Give instances of this account and region", refusal.message)));
        }
        answer => answer?,
    };
    let all: Vec<&Instance> = answer.reservations().iter().flat_map(|reservation| reservation.instances()).collect();
    let mut found =
        Found { vpc: String::new(), targets: vec![], zones: vec![], groups: vec![], group_names: BTreeSet::new() };
    for (index, id) in ids.iter().enumerate() {
        let wrong = |problem: String| Err(Error::input(format!("$.instances[{index}]"), problem));
        let Some(instance) = all.iter().find(|instance| instance.instance_id() == Some(id)) else {
            return wrong(format!("{id} does not exist in this account and region"));
        };
        let state = state(instance);
        if state != InstanceStateName::Running {
            let advice = match state {
                InstanceStateName::ShuttingDown | InstanceStateName::Terminated => "give one that runs",
                _ => "start it, then provision",
            };
            return wrong(format!("{id} is {state}; {advice}"));
        }
        let vpc = instance.vpc_id().unwrap_or_default();
        if index == 0 {
            found.vpc = vpc.into();
        } else if vpc != found.vpc {
            return wrong(format!(
                "{id} lies in {vpc}, {} in {}; the targets of one load balancer lie in one VPC",
                ids[0], found.vpc
            ));
        }
        let zone = instance.placement().and_then(|placement| placement.availability_zone());
        found.zones.push(zone.unwrap_or_default().into());
        let groups = instance.security_groups();
        found.groups.push(groups.iter().filter_map(|group| group.group_id()).map(Into::into).collect());
        found.group_names.extend(groups.iter().filter_map(|group| group.group_name()).map(Into::into));
        found.targets.push(Target { id: id.clone(), addresses: addresses(instance) });
    }
    Ok(found)
}

fn state(instance: &Instance) -> InstanceStateName {
    instance.state().and_then(|state| state.name()).cloned().unwrap_or_else(|| "unknown".into())
}

/// The public IPv4 address and the DNS name that goes with it.
fn public(instance: &Instance) -> Vec<String> {
    destinations([instance.public_ip_address(), instance.public_dns_name()].into_iter().flatten())
}

fn ipv6(instance: &Instance) -> Vec<String> {
    let of_interfaces = instance.network_interfaces().iter().flat_map(|interface| interface.ipv6_addresses());
    destinations(of_interfaces.filter_map(|address| address.ipv6_address()))
}

/// Under which the internet reaches it: at any of its interfaces, each of which may have several.
fn addresses(instance: &Instance) -> Vec<String> {
    let interfaces = instance.network_interfaces().iter();
    let associations = interfaces.flat_map(|interface| {
        let of_addresses = interface.private_ip_addresses().iter().map(|address| address.association());
        of_addresses.chain([interface.association()]).flatten()
    });
    let public_of_interfaces = associations.flat_map(|has| [has.public_ip(), has.public_dns_name()]).flatten();
    let mut all = [public(instance), ipv6(instance)].concat();
    for one in destinations(public_of_interfaces) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

fn destinations<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    values.filter(|value| !value.is_empty()).map(destination).collect()
}

/// The user's word on an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consent {
    Stop,
    Terminate,
}

/// An instance as teardown sees it.
#[derive(Debug)]
pub struct AtTeardown {
    pub id: String,
    pub consent: Option<Consent>,
    pub state: InstanceStateName,
    /// Public IPv4 address and DNS name: an Elastic IP's, or lost when the instance stops.
    pub public: Vec<String>,
    /// Lost when the instance is terminated.
    pub ipv6: Vec<String>,
}

impl AtTeardown {
    /// What consent ends, where it is not ended already.
    pub fn ends(&self) -> Option<Consent> {
        use InstanceStateName::{ShuttingDown, Stopped, Stopping, Terminated};
        match (self.consent, &self.state) {
            (_, Terminated | ShuttingDown) | (Some(Consent::Stop), Stopped | Stopping) => None,
            (consent, _) => consent,
        }
    }
}

/// The instances of these ids that still exist. Ids that AWS has forgotten are left out.
pub async fn find(client: &ec2::Client, ids: &HashSet<String>) -> Result<Vec<AtTeardown>> {
    if ids.is_empty() {
        return Ok(vec![]);
    }
    // A filter, not InstanceIds: one forgotten id would fail the whole call.
    let wanted = Filter::builder().name("instance-id").set_values(Some(ids.iter().cloned().collect())).build();
    let mut pages = client.describe_instances().filters(wanted).into_paginator().send();
    let mut found = vec![];
    while let Some(page) = pages.next().await {
        for instance in
            page.call("ec2:DescribeInstances")?.reservations().iter().flat_map(|reservation| reservation.instances())
        {
            let consent = match Tags::from(instance.tags()).get(ON_TEARDOWN) {
                Some("stop") => Some(Consent::Stop),
                Some("terminate") => Some(Consent::Terminate),
                _ => None,
            };
            found.push(AtTeardown {
                id: instance.instance_id().unwrap_or_default().into(),
                consent,
                state: state(instance),
                public: public(instance),
                ipv6: ipv6(instance),
            });
        }
    }
    Ok(found)
}

/// Ends the charges of an instance as its user consented. Again is safe.
pub async fn remove(client: &ec2::Client, id: &str, consent: Consent) -> Result<()> {
    let gone = ["InvalidInstanceID.NotFound"];
    match consent {
        Consent::Stop => {
            client.stop_instances().instance_ids(id).send().await.call("ec2:StopInstances").unless(&gone).map(drop)
        }
        Consent::Terminate => client
            .terminate_instances()
            .instance_ids(id)
            .send()
            .await
            .call("ec2:TerminateInstances")
            .unless(&gone)
            .map(drop),
    }
}

/// What is to be done so that the instances that a night has stopped run again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wake {
    pub start: Vec<String>,
    /// With their states.
    pub wait: Vec<String>,
}

impl Wake {
    /// Only of those whose user has consented to their stop: it was Albatross that ended them. What else does not run is
    /// the user's wish.
    pub fn of(instances: &[AtTeardown]) -> Self {
        use InstanceStateName::{Pending, Stopped, Stopping};
        let mut wake = Wake::default();
        for instance in instances.iter().filter(|instance| instance.consent == Some(Consent::Stop)) {
            match instance.state {
                Stopped => wake.start.push(instance.id.clone()),
                Stopping | Pending => wake.wait.push(format!("{} is {}", instance.id, instance.state)),
                _ => {}
            }
        }
        wake
    }
}

/// Starts stopped instances. Again is safe.
pub async fn start(client: &ec2::Client, ids: &[String]) -> Result<()> {
    client.start_instances().set_instance_ids(Some(ids.to_vec())).send().await.call("ec2:StartInstances").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ec2::types::{
        InstanceIpv6Address, InstanceNetworkInterface, InstanceNetworkInterfaceAssociation, InstancePrivateIpAddress,
    };

    #[test]
    fn every_interface_has_addresses() {
        let association = |ip: &str, name: &str| {
            InstanceNetworkInterfaceAssociation::builder().public_ip(ip).public_dns_name(name).build()
        };
        let address = |ip: &str| InstancePrivateIpAddress::builder().association(association(ip, "")).build();
        let first = InstanceNetworkInterface::builder()
            .association(association("203.0.113.7", "EC2-203-0-113-7.compute-1.amazonaws.com"))
            .private_ip_addresses(address("203.0.113.7"))
            .private_ip_addresses(address("203.0.113.8"))
            .ipv6_addresses(InstanceIpv6Address::builder().ipv6_address("2001:db8:10:0:0:0:0:a").build());
        let second = InstanceNetworkInterface::builder()
            .association(association("203.0.113.9", ""))
            .ipv6_addresses(InstanceIpv6Address::builder().ipv6_address("2001:db8:10::b").build());
        let instance = Instance::builder()
            .public_ip_address("203.0.113.7")
            .network_interfaces(first.build())
            .network_interfaces(second.build())
            .build();
        let target = Target { id: "i-1".into(), addresses: addresses(&instance) };
        let values = [
            "203.0.113.7",
            "203.0.113.8",
            "203.0.113.9",
            "ec2-203-0-113-7.compute-1.amazonaws.com.",
            "2001:0db8:0010::000a",
            "2001:DB8:10:0::b",
        ];
        assert!(values.iter().all(|value| target.has(value)), "{target:?}");
        assert_eq!(target.addresses.len(), values.len());
        assert!(!target.has("203.0.113.1") && !target.has("2001:db8:10::1") && !target.has(""));
    }

    #[test]
    fn only_what_may_be_stopped_is_started() {
        use InstanceStateName::{Pending, Running, Stopped, Stopping};
        let instance = |id: &str, consent: Option<Consent>, state: InstanceStateName| AtTeardown {
            id: id.into(),
            consent,
            state,
            public: vec![],
            ipv6: vec![],
        };
        let instances = [
            instance("i-1", Some(Consent::Stop), Stopped),
            instance("i-2", Some(Consent::Stop), Stopping),
            instance("i-3", Some(Consent::Stop), Pending),
            instance("i-4", Some(Consent::Stop), Running),
            instance("i-5", None, Stopped),
            instance("i-6", Some(Consent::Terminate), Stopped),
        ];
        let wake = Wake::of(&instances);
        assert_eq!(wake.start, ["i-1"]);
        assert_eq!(wake.wait, ["i-2 is stopping", "i-3 is pending"]);
    }
}
