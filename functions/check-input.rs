//! First state of provision: checks the whole input and resolves it to an environment, by reads alone; then takes the
//! environment's lock, unless it is just to plan.

use std::collections::BTreeMap;

use albatross::aws::{self, Clients};
use albatross::error::{Error, Result};
use albatross::lambda;
use albatross::owner::Owner;
use albatross::resource::certificate::Certificate;
use albatross::resource::dns::{Around, Public, Resolver, SeenRecords, lock};
use albatross::resource::network::Subnet;
use albatross::resource::security_group::Tagged;
use albatross::resource::seen::Seen;
use albatross::resource::tags::{self, Tags};
use albatross::resource::{certificate, dns, instance, load_balancer, network, security_group};
use albatross::spec::environment::Environment;
use albatross::spec::ids::{LoadBalancerIds, Zone};
use albatross::spec::input::{Delegation, Input, Mode};
use albatross::spec::names;
use aws_sdk_ec2::types::SecurityGroup;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    input: Value,
    /// ARN of the execution.
    run: String,
}

#[derive(Serialize)]
struct Answer {
    environment: Environment,
    seen: Seen,
    /// What may be meant and may not, a sentence each.
    warnings: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let clients = Clients::new(aws::config());
    lambda::run(async |event: Event| check(&clients, event).await).await
}

/// What AWS and public DNS say of what an input names.
struct Facts {
    instances: instance::Found,
    subnets: Vec<Subnet>,
    /// The instances' security groups, and those that have the name of the environment's.
    groups: Vec<SecurityGroup>,
    zone: Zone,
    around: Around,
    public: Public,
    given_certificate: Option<Certificate>,
}

impl Facts {
    async fn read(clients: &Clients, resolver: &Resolver, input: &Input) -> Result<Self> {
        let Clients { acm, ec2, route53, .. } = clients;
        let given_certificate = async {
            match &input.certificate_arn {
                Some(arn) => certificate::check_given(acm, arn, &input.domain).await.map(Some),
                None => Ok(None),
            }
        };
        let behind = async {
            let instances = instance::check(ec2, &input.instances, &input.put_back).await?;
            let own_group = names::security_group(&input.name());
            let groups = instances.group_names.iter().cloned().chain([own_group]);
            let (subnets, groups) =
                tokio::try_join!(network::subnets(ec2, &instances.vpc), security_group::named(ec2, groups))?;
            Result::Ok((instances, subnets, groups))
        };
        let at_domain = async {
            let zones = dns::zones(route53).await?;
            let zone = dns::choose_zone(&zones, &input.domain, input.hosted_zone_id.as_deref())?;
            let is_checked = input.delegation == Delegation::Check;
            let public = async { Ok(Public::ask(resolver, &zone, is_checked, input.certificate_arn.is_none()).await) };
            let (around, public) = tokio::try_join!(dns::around(route53, &zone.id, &input.domain), public)?;
            Result::Ok((zone, around, public))
        };
        let ((instances, subnets, groups), (zone, around, public), given_certificate) =
            tokio::try_join!(behind, at_domain, given_certificate)?;
        Ok(Facts { instances, subnets, groups, zone, around, public, given_certificate })
    }

    /// Refuses a domain that the internet does not ask the hosted zone for; answers what may be meant and may not.
    fn check_domain(&self, input: &Input) -> Result<Vec<String>> {
        self.around.check_not_delegated()?;
        let chosen_by = if input.hosted_zone_id.is_some() { "$.hostedZoneId" } else { "$.domain" };
        let unasked = self.public.check_asked(&self.zone, &self.around.name_servers(), chosen_by)?;
        let covers = |name: &str| self.given_certificate.as_ref().is_some_and(|given| given.covers(name));
        Ok(unasked.into_iter().chain(self.around.warnings(covers)).collect())
    }

    /// The security groups of the environment that stand already.
    fn own_groups(&self, owner: &Owner, name: &str) -> Vec<Tagged> {
        let own = names::security_group(name);
        let is_ours = |group: &Tagged| group.name == own && group.tags.are_of(&owner.stack, name);
        self.groups.iter().map(Tagged::from).filter(is_ours).collect()
    }

    /// The environment, with its place in the network.
    fn resolve(&self, owner: Owner, tags: BTreeMap<String, String>, input: Input) -> Result<Environment> {
        let Facts { instances, subnets, groups, zone, .. } = self;
        let chosen =
            network::choose(subnets, input.subnets.as_deref(), input.zones, &instances.zones, input.ip_address_type)?;
        let from: Vec<_> = chosen.iter().flat_map(|subnet| subnet.cidrs.clone()).collect();
        let groups_to_open = security_group::rule::groups_to_open(
            groups,
            &instances.groups,
            input.open_instance_group,
            input.port,
            &from,
        )?;
        Ok(Environment {
            owner,
            tags,
            name: input.name(),
            zone: zone.clone(),
            vpc: instances.vpc.clone(),
            subnets: chosen.iter().map(|subnet| subnet.id.clone()).collect(),
            zones: chosen.iter().map(|subnet| subnet.zone.clone()).collect(),
            targets: instances.targets.clone(),
            groups_to_open,
            input,
        })
    }
}

async fn check(clients: &Clients, event: Event) -> Result<Answer> {
    let Clients { ec2, elb, route53, sfn, .. } = clients;
    let input = Input::parse(event.input)?;
    let (owner, name, tags) = (lambda::owner(), input.name(), tags::given(&lambda::resource_tags())?);
    let resolver = Resolver::of_this_machine();
    let mut facts = Facts::read(clients, &resolver, &input).await?;
    let mut warnings = facts.check_domain(&input)?;
    let standing = facts.around.at_domain();
    let made = facts.around.copies(&owner, &name)?;
    let own_groups = facts.own_groups(&owner, &name);
    network::mark_stood_in(ec2, &mut facts.subnets, own_groups.first().map(|group| group.id.as_str())).await?;
    let environment = facts.resolve(owner, tags, input)?;
    security_group::check_standing(&environment, &own_groups)?;
    let seen = Seen {
        complete: dns::is_owned(&environment.owner, &name, environment.domain(), &standing),
        security_group: own_groups.into_iter().next().map(|group| group.id),
        at_domain: SeenRecords::of(&standing, &made, facts.around.is_validated()),
    };
    warnings.extend(check_issuance(clients, &resolver, &facts, &environment, &seen).await?);
    let is_claimable = dns::is_claimable(&environment, &standing);
    let load_balancer = if is_claimable { own_load_balancer(elb, &environment).await? } else { None };
    let load_balancer = load_balancer.unwrap_or_else(|| LoadBalancerIds::to_be_made(&environment.load_balancer_name()));
    // A conflict shows now, before anything is made, whatever the load balancer's name will be.
    dns::alias::differ(&environment, &load_balancer, &standing.clone().with(made.clone()))?;
    let (zone, domain) = (&environment.zone.id, environment.domain());
    match environment.input.mode {
        Mode::Apply => lock::take(route53, sfn, zone, domain, standing.lock.as_ref(), &event.run, &made).await?,
        Mode::Plan => drop(lock::check(zone, domain, standing.lock.as_ref())?),
    }
    Ok(Answer { environment, seen, warnings })
}

/// Refuses a domain that CAA records keep Amazon from issuing a certificate for; a warning where one stands already.
async fn check_issuance(
    clients: &Clients,
    resolver: &Resolver,
    facts: &Facts,
    environment: &Environment,
    seen: &Seen,
) -> Result<Option<String>> {
    if environment.input.certificate_arn.is_some() {
        return Ok(None);
    }
    let Some(why) = dns::forbidden(resolver, &facts.public, &facts.around).await else { return Ok(None) };
    let ours = certificate::find(&clients.acm, environment, seen.at_domain.validated).await?;
    if certificate::best(&ours).is_none_or(|best| best.check_issued().is_err()) {
        let problem = format!("{why}, or give the \"certificateArn\" of one that you have imported");
        return Err(Error::input("$.domain", problem));
    }
    Ok(Some(format!("{why}, or the certificate that stands will not be renewed")))
}

/// The environment's load balancer, where it stands and is ours.
async fn own_load_balancer(
    elb: &aws_sdk_elasticloadbalancingv2::Client,
    environment: &Environment,
) -> Result<Option<LoadBalancerIds>> {
    let Some(found) = load_balancer::named(elb, &environment.name).await?.as_ref().map(LoadBalancerIds::from) else {
        return Ok(None);
    };
    let tags = tags::by_arn(elb, std::slice::from_ref(&found.arn)).await?;
    let is_ours = |tags: &Tags| tags.are_of(&environment.owner.stack, &environment.name);
    Ok(tags.get(&found.arn).is_some_and(is_ours).then_some(found))
}
