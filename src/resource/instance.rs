//! The user's instances: checked before they become targets, stopped or terminated at teardown with consent, and started in
//! the morning.

use std::collections::{BTreeSet, HashSet};
use std::net::Ipv6Addr;

use aws_sdk_ec2 as ec2;
use ec2::types::{Filter, Instance, InstanceAttributeName, InstanceStateName};
use serde::{Deserialize, Serialize};

use super::tags::{ON_TEARDOWN, Tags};
use crate::error::{Call, Codes, Error, Refusal, Result};
use crate::spec::ids::{Target, destination};
use crate::spec::input::Returned;

/// What check-input needs to know of the instances, all in one VPC.
#[derive(Debug)]
pub struct Found {
    pub vpc: String,
    pub targets: Vec<Target>,
    /// The Availability Zones of the instances, in their order.
    pub zones: Vec<String>,
    /// For each instance the ids of its security groups, in their order there.
    pub groups: Vec<Vec<String>>,
    pub group_names: BTreeSet<String>,
}

/// Describes the instances of an input, and checks that each exists and runs, and that all lie in one VPC. `put_back` is what
/// a night has put back at the domain.
///
/// # Errors
/// [`Error::InvalidInput`] with the path of the instance.
pub async fn check(client: &ec2::Client, ids: &[String], put_back: &[Returned]) -> Result<Found> {
    let all = described_all(client, ids).await?;
    let mut found =
        Found { vpc: String::new(), targets: vec![], zones: vec![], groups: vec![], group_names: BTreeSet::new() };
    for (index, id) in ids.iter().enumerate() {
        let wrong = |problem: String| Err(Error::input(format!("$.instances[{index}]"), problem));
        let Some(instance) = all.iter().find(|instance| instance.instance_id() == Some(id)) else {
            return wrong(format!("{id} does not exist in this account and region"));
        };
        if let Some(problem) = not_running(instance) {
            return wrong(format!("{id} is {problem}"));
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
        let back = put_back.iter().filter(|back| back.instance == *id).map(|back| destination(&back.value));
        found.targets.push(Target { id: id.clone(), addresses: addresses(instance), former: back.collect() });
    }
    Ok(found)
}

/// Describes the instances of an input.
async fn described_all(client: &ec2::Client, ids: &[String]) -> Result<Vec<Instance>> {
    let answer = client.describe_instances().set_instance_ids(Some(ids.to_vec())).send().await;
    let answer = match answer.call("ec2:DescribeInstances") {
        Err(Error::AwsRefused(refusal))
            if refusal.code.as_deref().is_some_and(|code| code.starts_with("InvalidInstanceID")) =>
        {
            // AWS names the missing ids only in its message.
            let missing = ids.iter().position(|id| refusal.message.contains(id.as_str()));
            let path = missing.map_or("$.instances".into(), |index| format!("$.instances[{index}]"));
            return Err(Error::input(path, format!("{}. Give instances of this account and region", refusal.message)));
        }
        answer => answer?,
    };
    let reservations = answer.reservations.unwrap_or_default().into_iter();
    Ok(reservations.flat_map(|reservation| reservation.instances.unwrap_or_default()).collect())
}

/// Says in which state an instance is that does not run, and what to do.
fn not_running(instance: &Instance) -> Option<String> {
    match state(instance) {
        InstanceStateName::Running => None,
        state @ (InstanceStateName::ShuttingDown | InstanceStateName::Terminated) => {
            Some(format!("{state}; give one that runs"))
        }
        state => Some(format!("{state}; start it, then provision")),
    }
}

fn state(instance: &Instance) -> InstanceStateName {
    instance.state().and_then(|state| state.name()).cloned().unwrap_or_else(|| "unknown".into())
}

/// Returns the public IPv4 address and the DNS name that goes with it.
fn public(instance: &Instance) -> Vec<String> {
    destinations([instance.public_ip_address(), instance.public_dns_name()].into_iter().flatten())
}

fn ipv6(instance: &Instance) -> Vec<String> {
    let of_interfaces = instance.network_interfaces().iter().flat_map(|interface| interface.ipv6_addresses());
    destinations(of_interfaces.filter_map(|address| address.ipv6_address()))
}

/// Returns the addresses and names under which the internet reaches an instance: those of all its interfaces, each of which
/// may have several.
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

/// What the user allows a teardown to do with an instance, by its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consent {
    Stop,
    Terminate,
}

/// An instance as a teardown sees it.
#[derive(Debug, Clone)]
pub struct AtTeardown {
    pub id: String,
    pub consent: Option<Consent>,
    pub state: InstanceStateName,
    /// The Auto Scaling group that would replace it: EC2 tags the instances that a group launches (Auto Scaling user guide,
    /// tags).
    pub auto_scaling_group: Option<String>,
    /// Public IPv4 addresses and DNS names of all its interfaces. Those of an Elastic IP last; the others are lost when the
    /// instance stops.
    pub public: Vec<String>,
    /// IPv6 addresses, which are lost when the instance is terminated.
    pub ipv6: Vec<String>,
}

/// The key of the tag that EC2 gives the instances of an Auto Scaling group.
const AUTO_SCALING_GROUP: &str = "aws:autoscaling:groupName";

impl AtTeardown {
    /// Returns the addresses and names that the instance has now, and keeps as long as nothing ends it.
    pub fn present(&self) -> Vec<String> {
        use InstanceStateName::{ShuttingDown, Stopping, Terminated};
        match self.state {
            ShuttingDown | Terminated => vec![],
            // EC2 still shows an address that is no Elastic IP, but it may be somebody else's in a moment.
            Stopping => self.ipv6.clone(),
            _ => [self.public.clone(), self.ipv6.clone()].concat(),
        }
    }

    /// Returns what the user's consent allows, unless the instance has ended already.
    pub fn ends(&self) -> Option<Consent> {
        use InstanceStateName::{ShuttingDown, Stopped, Stopping, Terminated};
        match (self.consent, &self.state) {
            (_, Terminated | ShuttingDown) | (Some(Consent::Stop), Stopped | Stopping) => None,
            (consent, _) => consent,
        }
    }
}

impl From<&Instance> for AtTeardown {
    fn from(instance: &Instance) -> Self {
        AtTeardown {
            id: instance.instance_id().unwrap_or_default().into(),
            consent: consent(instance),
            state: state(instance),
            auto_scaling_group: Tags::from(instance.tags()).get(AUTO_SCALING_GROUP).map(Into::into),
            public: addresses(instance).into_iter().filter(|address| address.parse::<Ipv6Addr>().is_err()).collect(),
            ipv6: ipv6(instance),
        }
    }
}

fn consent(instance: &Instance) -> Option<Consent> {
    match Tags::from(instance.tags()).get(ON_TEARDOWN) {
        Some("stop") => Some(Consent::Stop),
        Some("terminate") => Some(Consent::Terminate),
        _ => None,
    }
}

/// Reads the instances of these ids that still exist. Ids that AWS has forgotten are left out.
pub async fn find(client: &ec2::Client, ids: &HashSet<String>) -> Result<Vec<AtTeardown>> {
    Ok(described(client, ids).await?.iter().map(AtTeardown::from).collect())
}

async fn described(client: &ec2::Client, ids: &HashSet<String>) -> Result<Vec<Instance>> {
    if ids.is_empty() {
        return Ok(vec![]);
    }
    // A filter and not InstanceIds, with which one forgotten id fails the whole call.
    let wanted = Filter::builder().name("instance-id").set_values(Some(ids.iter().cloned().collect())).build();
    let mut pages = client.describe_instances().filters(wanted).into_paginator().send();
    let mut found = vec![];
    while let Some(page) = pages.next().await {
        let reservations = page.call("ec2:DescribeInstances")?.reservations.unwrap_or_default();
        found.extend(reservations.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default()));
    }
    Ok(found)
}

/// Asks whether a protection keeps EC2 from what the user consented to. Stop protection keeps an instance from being stopped
/// and terminated, termination protection from being terminated (EC2 user guide, stop protection and termination protection).
pub async fn is_protected(client: &ec2::Client, id: &str, consent: Consent) -> Result<bool> {
    let is_on = async |attribute: InstanceAttributeName| {
        let answer = client.describe_instance_attribute().instance_id(id).attribute(attribute).send().await;
        let answer = answer.call("ec2:DescribeInstanceAttribute")?;
        let value = answer.disable_api_stop().or(answer.disable_api_termination());
        Result::Ok(value.and_then(|is| is.value()).unwrap_or_default())
    };
    match consent {
        Consent::Stop => is_on(InstanceAttributeName::DisableApiStop).await,
        Consent::Terminate => {
            let (stop, termination) = tokio::try_join!(
                is_on(InstanceAttributeName::DisableApiStop),
                is_on(InstanceAttributeName::DisableApiTermination)
            )?;
            Ok(stop || termination)
        }
    }
}

/// Stops or terminates an instance, as its user consented. Safe to repeat.
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

/// What is to be done until the instances that a night has stopped run again.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wake {
    start: Vec<String>,
    /// Each instance that does not run yet, with its state.
    wait: Vec<String>,
}

impl Wake {
    /// Looks only at instances whose user has consented to their stop: Albatross stopped those. Others that do not run are
    /// stopped by the user's own wish. `again`: the instances have been started here before.
    ///
    /// # Errors
    /// [`Error::AwsRefused`] where EC2 could not start an instance, and trying again will not change that.
    fn of(instances: &[Instance], again: bool) -> Result<Self> {
        use InstanceStateName::{Pending, Stopped, Stopping};
        let mut wake = Wake::default();
        for instance in instances.iter().filter(|instance| consent(instance) == Some(Consent::Stop)) {
            let (id, state) = (instance.instance_id().unwrap_or_default(), state(instance));
            match state {
                Stopped => {
                    let reason = Reason::of(instance);
                    if again && reason.is_final() {
                        return Err(reason.refusal(id));
                    }
                    wake.start.push(id.into());
                    wake.wait.push(format!("{id} was stopped ({})", reason.message));
                }
                Stopping | Pending => wake.wait.push(format!("{id} is {state}")),
                _ => {}
            }
        }
        Ok(wake)
    }
}

/// Why an instance is in its state (EC2 API reference, StateReason).
struct Reason<'a> {
    code: &'a str,
    message: &'a str,
}

impl<'a> Reason<'a> {
    fn of(instance: &'a Instance) -> Self {
        let reason = instance.state_reason();
        Reason {
            code: reason.and_then(|reason| reason.code()).unwrap_or_default(),
            message: reason.and_then(|reason| reason.message()).unwrap_or("AWS gives no reason"),
        }
    }

    /// Whether the instance stopped though nobody wanted that, and the cause is not AWS's own.
    fn is_final(&self) -> bool {
        let wanted = ["Client.UserInitiated", "Client.InstanceInitiated"];
        self.code.starts_with("Client.") && !wanted.iter().any(|wanted| self.code.starts_with(wanted))
    }

    fn refusal(&self, id: &str) -> Error {
        let advice = match self.code {
            // re:Post, kms-iam-ec2-permission.
            "Client.InternalError" => {
                "mostly a customer-managed key of its volumes: let the key's policy allow kms:CreateGrant to the role of function start-instances, or to the account, whose IAM policies then allow it"
            }
            _ => "start it in the EC2 console",
        };
        let message = format!("{id} fell back to stopped as it was started: {}; {advice}", self.message);
        Error::AwsRefused(Refusal {
            operation: "ec2:StartInstances",
            code: Some(self.code.into()),
            message,
            request_id: None,
        })
    }
}

/// Starts those of the instances that a night has stopped, until they run. `again`: a call before this one has started them.
/// Safe to repeat.
///
/// # Errors
/// [`Error::InstancesStarting`] until all run; [`Error::AwsRefused`] where one never will.
pub async fn wake(client: &ec2::Client, ids: &HashSet<String>, again: bool) -> Result<()> {
    let Wake { start, wait } = Wake::of(&described(client, ids).await?, again)?;
    if !start.is_empty() {
        client.start_instances().set_instance_ids(Some(start)).send().await.call("ec2:StartInstances")?;
    }
    if wait.is_empty() { Ok(()) } else { Err(Error::InstancesStarting(wait.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ec2::types::{
        InstanceIpv6Address, InstanceNetworkInterface, InstanceNetworkInterfaceAssociation, InstancePrivateIpAddress,
        InstanceState, StateReason, Tag,
    };

    fn instance(id: &str, consent: Option<&str>, state: InstanceStateName, code: &str) -> Instance {
        let tags = consent.map(|word| vec![Tag::builder().key(ON_TEARDOWN).value(word).build()]);
        let reason = StateReason::builder().code(code).message(format!("{code}: as AWS says")).build();
        Instance::builder()
            .instance_id(id)
            .set_tags(tags)
            .state(InstanceState::builder().name(state).build())
            .state_reason(reason)
            .build()
    }

    const STOPPED_BY_NIGHT: &str = "Client.UserInitiatedShutdown";

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
        let target = Target { id: "i-1".into(), addresses: addresses(&instance), former: vec![] };
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
        let instances = [
            instance("i-1", Some("stop"), Stopped, STOPPED_BY_NIGHT),
            instance("i-2", Some("stop"), Stopping, STOPPED_BY_NIGHT),
            instance("i-3", Some("stop"), Pending, ""),
            instance("i-4", Some("stop"), Running, ""),
            instance("i-5", None, Stopped, STOPPED_BY_NIGHT),
            instance("i-6", Some("terminate"), Stopped, STOPPED_BY_NIGHT),
        ];
        for again in [false, true] {
            let wake = Wake::of(&instances, again).unwrap();
            assert_eq!(wake.start, ["i-1"]);
            let stopped = "i-1 was stopped (Client.UserInitiatedShutdown: as AWS says)";
            assert_eq!(wake.wait, [stopped, "i-2 is stopping", "i-3 is pending"]);
        }
    }

    #[test]
    fn what_fell_back_is_told_once_it_was_started_here() {
        let fell_back = |code: &str| [instance("i-1", Some("stop"), InstanceStateName::Stopped, code)];
        // An earlier morning's reason; since then its user may have fixed it.
        assert_eq!(Wake::of(&fell_back("Client.InternalError"), false).unwrap().start, ["i-1"]);
        let error = Wake::of(&fell_back("Client.InternalError"), true).unwrap_err();
        assert_eq!(error.name(), "AwsRefused");
        let said = error.to_string();
        assert!(
            said.contains("i-1 fell back to stopped") && said.contains("Client.InternalError: as AWS says"),
            "{said}"
        );
        assert!(said.contains("kms:CreateGrant"), "{said}");
        assert!(Wake::of(&fell_back("Client.VolumeLimitExceeded"), true).is_err());
        // These may pass by themselves.
        for passing in ["Server.InternalError", "Client.InstanceInitiatedShutdown", ""] {
            assert_eq!(Wake::of(&fell_back(passing), true).unwrap().start, ["i-1"], "{passing}");
        }
    }
}
