//! Everything of one environment that stands, with what teardown decides about it: one list for plan, act and proof.

use std::collections::HashSet;

use aws_config::SdkConfig;
use aws_sdk_route53::types::ResourceRecordSet;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::address::{self, Address};
use crate::aws;
use crate::certificate::{self, Certificate};
use crate::dns::{self, Edit, Standing};
use crate::environment;
use crate::error::{Call, Codes, Error, Result};
use crate::instance::{self, AtTeardown, Consent};
use crate::load_balancer;
use crate::lock;
use crate::price;
use crate::security_group::{self, OpenRule};
use crate::tags::{self, Tags};
use crate::target_group;
use crate::teardown::{CertificatePolicy, Decision, Input, Item};

pub struct Clients {
    pub config: SdkConfig,
    pub acm: aws_sdk_acm::Client,
    pub ec2: aws_sdk_ec2::Client,
    pub elb: aws_sdk_elasticloadbalancingv2::Client,
    pub route53: aws_sdk_route53::Client,
    pub sfn: aws_sdk_sfn::Client,
}

impl Clients {
    pub fn new(config: SdkConfig) -> Self {
        Clients {
            acm: aws_sdk_acm::Client::new(&config),
            ec2: aws_sdk_ec2::Client::new(&config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            route53: aws_sdk_route53::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            config,
        }
    }
}

/// Which environment, as far as input and tags tell. `domain` and `zone` are unknown where nothing stands any more and
/// the input gives a name alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub stack: String,
    pub name: String,
    pub domain: Option<String>,
    /// Hosted zone id.
    pub zone: Option<String>,
}

/// All that stands of an environment.
pub struct Listing {
    pub items: Vec<Listed>,
    /// The record of its lock.
    pub lock: Option<ResourceRecordSet>,
}

/// A list item and how to carry its decision out; `None` where it is kept.
pub struct Listed {
    pub item: Item,
    pub action: Option<Action>,
}

pub enum Action {
    Records { zone: String, edits: Vec<Edit> },
    LoadBalancer(String),
    Address(Address),
    Instance(String, Consent),
    Rule(OpenRule),
    TargetGroup(String),
    Certificate { certificate: Certificate, zone: Option<String>, with_record: bool },
    SecurityGroup(String),
}

fn kept(resource: &str, id: impl Into<String>, reason: impl Into<String>) -> Listed {
    Listed { item: Item::new(resource, id, Decision::Keep, reason), action: None }
}

fn acted(
    resource: &str,
    id: impl Into<String>,
    decision: Decision,
    reason: impl Into<String>,
    action: Action,
) -> Listed {
    Listed { item: Item::new(resource, id, decision, reason), action: Some(action) }
}

impl Listed {
    /// With the dollars an hour that end with it.
    fn priced(mut self, hourly: Decimal) -> Self {
        self.item.hourly = Some(hourly);
        self
    }
}

/// The environment that an input names.
///
/// # Errors
/// [`Error::InvalidInput`] where it names none, or a malformed one.
pub fn identify(stack: String, input: &Input) -> Result<Identity> {
    let domain = input.domain.as_deref().map(environment::domain).transpose()?;
    let name = match (&input.name, &domain) {
        (Some(name), _) => name.clone(),
        (None, Some(domain)) => environment::default_name(domain),
        (None, None) => {
            return Err(Error::input("$", "give the environment's \"name\" or its \"domain\""));
        }
    };
    environment::check_name(&name)?;
    Ok(Identity { stack, name, domain, zone: input.hosted_zone_id.clone() })
}

/// Lists everything of the environment, in the order in which it is taken down. Learns domain and zone on the way.
///
/// The security group comes last, as it was made first: while anything stands, it stands, and its tags tell whose all is.
///
/// # Errors
/// [`Error::InvalidInput`] where the input's domain is not the environment's, or a certificate is to go whose domain is unknown.
pub async fn list(clients: &Clients, identity: &mut Identity, input: &Input) -> Result<Listing> {
    let Identity { stack, name, .. } = identity.clone();
    let (groups, front, targets, rules) = tokio::try_join!(
        security_group::ours(&clients.ec2, &stack, Some(&name)),
        load_balancer::ours(&clients.elb, &stack, &name),
        target_group::ours(&clients.elb, &stack, &name),
        security_group::open_rules(&clients.ec2, &stack, &name),
    )?;
    let tagged = groups.iter().map(|group| &group.tags);
    let tagged =
        tagged.chain(front.iter().map(|front| &front.tags)).chain(targets.iter().map(|targets| &targets.tags)).next();
    learn(clients, identity, tagged).await?;
    if identity.domain.is_none() && input.certificate == CertificatePolicy::Delete {
        return Err(Error::input(
            "$.domain",
            format!(
                "missing; nothing of environment {name} stands that tells it, and its certificate is found by domain"
            ),
        ));
    }
    let ids = targets.as_ref().map(|targets| targets.instances.clone()).unwrap_or_default();
    let (standing, addresses, instances, certificates) = tokio::try_join!(
        standing(clients, identity),
        address::find(&clients.ec2, &ids, &stack, &name),
        instance::find(&clients.ec2, &ids),
        certificates(clients, identity, input),
    )?;
    let going = if input.own_only { HashSet::new() } else { going(&addresses, &instances) };
    let mut list: Vec<Listed> = records(identity, standing.as_ref(), &going).into_iter().collect();
    list.extend(front.map(|front| listed_load_balancer(&front, &aws::region(&clients.config))));
    let instances: Vec<Listed> =
        instances.iter().map(|instance| listed_instance(instance, &addresses, input.own_only)).collect();
    list.extend(addresses.into_iter().map(|address| listed_address(address, input.own_only)));
    list.extend(instances);
    list.extend(rules.into_iter().map(|rule| {
        let id = format!("{} in {}", rule.id, rule.group);
        acted(
            "rule that admits the load balancer",
            id,
            Decision::Remove,
            "ours; the group itself is yours",
            Action::Rule(rule),
        )
    }));
    list.extend(targets.map(|targets| {
        acted("target group", &targets.arn, Decision::Remove, "ours", Action::TargetGroup(targets.arn.clone()))
    }));
    list.extend(certificates);
    list.extend(groups.into_iter().map(|group| {
        acted("security group", &group.id, Decision::Remove, "ours", Action::SecurityGroup(group.id.clone()))
    }));
    Ok(Listing { items: list, lock: standing.and_then(|standing| standing.lock) })
}

/// Domain and zone from the tags, else from the input and the account's zones.
async fn learn(clients: &Clients, identity: &mut Identity, tagged: Option<&Tags>) -> Result<()> {
    if let Some(tags) = tagged {
        let domain = tags.get(tags::DOMAIN);
        if let (Some(given), Some(domain)) = (&identity.domain, domain)
            && given != domain
        {
            return Err(Error::input(
                "$.domain",
                format!("environment {} fronts {domain}, not {given}", identity.name),
            ));
        }
        identity.domain = domain.map(Into::into).or(identity.domain.take());
        identity.zone = tags.get(tags::ZONE).map(Into::into).or(identity.zone.take());
    }
    if let (Some(domain), None) = (&identity.domain, &identity.zone) {
        identity.zone = dns::find_zone(&clients.route53, domain, None).await?;
    }
    Ok(())
}

async fn standing(clients: &Clients, identity: &Identity) -> Result<Option<Standing>> {
    match (&identity.domain, &identity.zone) {
        (Some(domain), Some(zone)) => dns::standing(&clients.route53, zone, domain).await.unless(&["NoSuchHostedZone"]),
        _ => Ok(None),
    }
}

fn records(identity: &Identity, standing: Option<&Standing>, going: &HashSet<String>) -> Option<Listed> {
    let (domain, zone) = (identity.domain.as_ref()?, identity.zone.as_ref()?);
    let restoration = dns::restore(&identity.stack, &identity.name, domain, standing?, going)?;
    let action = Action::Records { zone: zone.clone(), edits: restoration.edits };
    Some(acted("alias record", domain, Decision::Restore, restoration.reason, action))
}

/// The addresses and DNS names that the user's consent gives up: a record that is put back must not point at them, as
/// the next to get such an address would serve the user's domain.
fn going(addresses: &[Address], instances: &[AtTeardown]) -> HashSet<String> {
    let mut going: HashSet<String> =
        addresses.iter().filter(|address| address.consent).map(|address| address.public_ip.clone()).collect();
    for instance in instances {
        let elastic = addresses.iter().find(|address| address.instance.as_ref() == Some(&instance.id));
        if elastic.map_or(instance.ends().is_some(), |address| address.consent) {
            going.extend(instance.public.iter().cloned());
        }
        if instance.ends() == Some(Consent::Terminate) {
            going.extend(instance.ipv6.iter().cloned());
        }
    }
    going
}

fn listed_load_balancer(front: &load_balancer::Ours, region: &str) -> Listed {
    let action = Action::LoadBalancer(front.arn.clone());
    let reason = "ours; its listeners go with it";
    acted("load balancer", &front.arn, Decision::Remove, reason, action)
        .priced(price::load_balancer(region, front.zones))
}

fn listed_address(address: Address, own_only: bool) -> Listed {
    let id = format!("{} ({})", address.allocation_id, address.public_ip);
    match (address.consent, own_only) {
        (false, _) => kept(
            "Elastic IP",
            id,
            format!("yours; tag it {} = release to release it at teardown ($0.005 an hour)", tags::ON_TEARDOWN),
        ),
        (true, true) => kept("Elastic IP", id, "yours; only a whole teardown touches it"),
        (true, false) => acted("Elastic IP", id, Decision::Release, "you consented by tag", Action::Address(address))
            .priced(price::address()),
    }
}

fn listed_instance(instance: &AtTeardown, addresses: &[Address], own_only: bool) -> Listed {
    let id = &instance.id;
    match (instance.ends(), instance.consent, own_only) {
        (_, None, _) => kept(
            "instance",
            id,
            format!("yours; tag it {} = stop or terminate to end its charges at teardown", tags::ON_TEARDOWN),
        ),
        (None, Some(_), _) => kept("instance", id, format!("already {}", instance.state)),
        (Some(_), _, true) => kept("instance", id, "yours; only a whole teardown touches it"),
        (Some(consent), _, false) => {
            let decision = if consent == Consent::Stop { Decision::Stop } else { Decision::Terminate };
            let action = Action::Instance(id.clone(), consent);
            let listed = acted("instance", id, decision, "you consented by tag", action);
            // A public address that is not an Elastic IP goes with it.
            let elastic = addresses.iter().any(|address| address.instance.as_ref() == Some(id));
            if elastic || instance.public.is_empty() { listed } else { listed.priced(price::address()) }
        }
    }
}

async fn certificates(clients: &Clients, identity: &Identity, input: &Input) -> Result<Vec<Listed>> {
    let Some(domain) = &identity.domain else { return Ok(vec![]) };
    let ours = certificate::ours(&clients.acm, &identity.stack, &identity.name, domain).await?;
    let mut deletable = vec![];
    let mut listed = vec![];
    for certificate in ours {
        let users = certificate.foreign_users(&identity.name);
        if !users.is_empty() {
            listed.push(kept("certificate", &certificate.arn, format!("used by {}", users.join(", "))));
        } else if certificate.is_dead() {
            deletable.push((format!("{}: it never recovers", certificate.status), certificate));
        } else if input.certificate == CertificatePolicy::Delete {
            deletable.push(("asked for".into(), certificate));
        } else {
            listed.push(kept(
                "certificate",
                &certificate.arn,
                "free, and the next provision uses it; \"certificate\": \"delete\" deletes it",
            ));
        }
    }
    let going: Vec<String> = deletable.iter().map(|(_, certificate)| certificate.arn.clone()).collect();
    let shared = match (going.is_empty(), listed.first()) {
        (true, _) => None,
        (false, Some(staying)) => Some(staying.item.id.clone()),
        (false, None) => certificate::sharing_record(&clients.config, &regions(clients).await?, domain, &going).await?,
    };
    for (reason, certificate) in deletable {
        let reason = match &shared {
            Some(other) => format!("{reason}; its validation record stays for {other}"),
            None => format!("{reason}; with its validation record"),
        };
        let action = Action::Certificate {
            zone: identity.zone.clone(),
            with_record: shared.is_none(),
            certificate: certificate.clone(),
        };
        listed.push(acted("certificate", &certificate.arn, Decision::Remove, reason, action));
    }
    Ok(listed)
}

/// The regions that the account has enabled.
async fn regions(clients: &Clients) -> Result<Vec<String>> {
    let answer = clients.ec2.describe_regions().send().await.call("ec2:DescribeRegions")?;
    Ok(answer.regions().iter().filter_map(|region| region.region_name()).map(Into::into).collect())
}

/// Takes the environment's lock for the execution `run`; there is none where no zone is known, and so no provision.
///
/// # Errors
/// As [`lock::take`].
pub async fn lock(clients: &Clients, identity: &Identity, listing: &Listing, run: &str) -> Result<()> {
    let (Some(domain), Some(zone)) = (&identity.domain, &identity.zone) else { return Ok(()) };
    lock::take(&clients.route53, &clients.sfn, zone, domain, listing.lock.as_ref(), run)
        .await
        .unless(&["NoSuchHostedZone"])
        .map(drop)
}

/// Gives the lock back.
pub async fn unlock(clients: &Clients, identity: &Identity, listing: &Listing, run: &str) -> Result<()> {
    match (&identity.zone, lock::release(listing.lock.as_ref(), run)) {
        (Some(zone), Some(release)) => dns::apply(&clients.route53, zone, &[release], "Albatross: done").await,
        _ => Ok(()),
    }
}

/// Carries out one decision. Again is safe.
pub async fn carry_out(clients: &Clients, identity: &Identity, action: &Action) -> Result<()> {
    match action {
        Action::Records { zone, edits } => {
            dns::apply(&clients.route53, zone, edits, "Albatross: put back what stood before").await
        }
        Action::LoadBalancer(arn) => load_balancer::remove(&clients.elb, arn).await,
        Action::Address(address) => address::remove(&clients.ec2, address, &identity.stack, &identity.name).await,
        Action::Instance(id, consent) => instance::remove(&clients.ec2, id, *consent).await,
        Action::Rule(rule) => security_group::close(&clients.ec2, rule).await,
        Action::TargetGroup(arn) => target_group::remove(&clients.elb, arn).await,
        Action::SecurityGroup(id) => security_group::remove(&clients.ec2, id).await,
        Action::Certificate { certificate, zone, with_record } => {
            // The record first: without the certificate nothing tells its name.
            for record in certificate.records.iter().filter(|_| *with_record) {
                if let Some(zone) = zone {
                    dns::remove_cname(&clients.route53, zone, record).await?;
                }
            }
            certificate::remove(&clients.acm, &certificate.arn).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::InstanceStateName;

    fn instance(consent: Option<Consent>) -> AtTeardown {
        AtTeardown {
            id: "i-1".into(),
            consent,
            state: InstanceStateName::Running,
            public: vec!["203.0.113.7".into()],
            ipv6: vec!["2001:db8::7".into()],
        }
    }

    fn elastic(consent: bool) -> Address {
        Address::of_instance("i-1", "203.0.113.7", consent)
    }

    fn sorted(going: HashSet<String>) -> Vec<String> {
        let mut going: Vec<String> = going.into_iter().collect();
        going.sort();
        going
    }

    #[test]
    fn an_address_goes_with_what_holds_it() {
        let (stop, terminate) = (Some(Consent::Stop), Some(Consent::Terminate));
        let cases: [(Vec<Address>, Option<Consent>, &[&str]); 7] = [
            (vec![], None, &[]),
            (vec![], stop, &["203.0.113.7"]),
            (vec![], terminate, &["2001:db8::7", "203.0.113.7"]),
            (vec![elastic(false)], stop, &[]),
            (vec![elastic(false)], terminate, &["2001:db8::7"]),
            (vec![elastic(true)], None, &["203.0.113.7"]),
            (vec![elastic(true)], stop, &["203.0.113.7"]),
        ];
        for (addresses, consent, wanted) in cases {
            assert_eq!(sorted(going(&addresses, &[instance(consent)])), wanted, "{addresses:?} {consent:?}");
        }
    }
}
