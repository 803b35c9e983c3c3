//! First state of provision: checks the whole input and resolves it to an environment, by reads alone; then takes the
//! environment's lock, unless it is just to plan.

use albatross::dns::{AtDomain, Public, Resolver};
use albatross::environment::{self, Delegation, Environment, Input, Mode};
use albatross::error::{Error, Result};
use albatross::load_balancer::Front;
use albatross::security_group::Ours;
use albatross::tags::{self, Tags};
use albatross::{aws, certificate, dns, instance, lambda, load_balancer, lock, network, security_group};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    input: Value,
    /// ARN of the execution.
    run: String,
}

struct Clients {
    acm: aws_sdk_acm::Client,
    ec2: aws_sdk_ec2::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    route53: aws_sdk_route53::Client,
    sfn: aws_sdk_sfn::Client,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let clients = Clients {
        acm: aws_sdk_acm::Client::new(&config),
        ec2: aws_sdk_ec2::Client::new(&config),
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        route53: aws_sdk_route53::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
    };
    lambda::run(async |event: Event| check(&clients, event).await).await
}

async fn check(clients: &Clients, event: Event) -> Result<Environment> {
    let Clients { acm, ec2, elb, route53, sfn } = clients;
    let input = Input::parse(event.input)?;
    let tags = tags::given(&lambda::resource_tags())?;
    let given_certificate = async {
        match &input.certificate_arn {
            Some(arn) => certificate::check_given(acm, arn, &input.domain).await.map(Some),
            None => Ok(None),
        }
    };
    let (owner, name) = (lambda::owner(), input.name());
    let resolver = Resolver::of_this_machine();
    let own_group = environment::security_group_name(&name);
    let behind = async {
        let instances = instance::check(ec2, &input.instances, &input.put_back).await?;
        let groups = instances.group_names.iter().cloned().chain([own_group.clone()]);
        let (subnets, groups) =
            tokio::try_join!(network::subnets(ec2, &instances.vpc), security_group::named(ec2, groups))?;
        Result::Ok((instances, subnets, groups))
    };
    let at_domain = async {
        let zones = dns::zones(route53).await?;
        let zone = dns::choose_zone(&zones, &input.domain, input.hosted_zone_id.as_deref())?;
        let is_checked = input.delegation == Delegation::Check;
        let public = async { Ok(Public::ask(&resolver, &zone, is_checked, input.certificate_arn.is_none()).await) };
        let (around, public) = tokio::try_join!(dns::around(route53, &zone.id, &input.domain), public)?;
        Result::Ok((zone, around, public))
    };
    let ((instances, mut subnets, groups), (zone, around, public), given_certificate) =
        tokio::try_join!(behind, at_domain, given_certificate)?;
    around.check_not_delegated()?;
    let chosen_by = if input.hosted_zone_id.is_some() { "$.hostedZoneId" } else { "$.domain" };
    let unasked = public.check_asked(&zone, &around.name_servers(), chosen_by)?;
    let covers = |name: &str| given_certificate.as_ref().is_some_and(|given| given.covers(name));
    let warnings = unasked.into_iter().chain(around.warnings(covers)).collect();
    let standing = around.standing();
    let made = around.copies(&owner, &name)?;
    let is_ours = |group: &Ours| group.name == own_group && group.tags.are_of(&owner.stack, &name);
    let ours: Vec<Ours> = groups.iter().map(Ours::from).filter(is_ours).collect();
    network::mark_stood_in(ec2, &mut subnets, ours.first().map(|group| group.id.as_str())).await?;
    let chosen =
        network::choose(&subnets, input.subnets.as_deref(), input.zones, &instances.zones, input.ip_address_type)?;
    let from: Vec<_> = chosen.iter().flat_map(|subnet| subnet.cidrs.clone()).collect();
    let groups_to_open =
        security_group::groups_to_open(&groups, &instances.groups, input.open_instance_group, input.port, &from)?;
    let mut environment = Environment {
        stack: owner.stack.clone(),
        region: owner.region.clone(),
        account: owner.account.clone(),
        tags,
        name,
        allowed_cidrs: input.allowed_cidrs(),
        subnets: chosen.iter().map(|subnet| subnet.id.clone()).collect(),
        zones: chosen.iter().map(|subnet| subnet.zone.clone()).collect(),
        domain: input.domain,
        zone,
        vpc: instances.vpc,
        instances: instances.targets,
        groups_to_open,
        port: input.port,
        health_check: input.health_check,
        tls_policy: input.tls_policy,
        hsts_max_age: input.hsts_max_age,
        redirect: input.redirect,
        drop_invalid_headers: input.drop_invalid_headers,
        ip_address_type: input.ip_address_type,
        certificate_arn: input.certificate_arn,
        dns: input.dns,
        on_failure: input.on_failure,
        keep_until: input.keep_until,
        mode: input.mode,
        complete: false,
        security_group: None,
        at_domain: AtDomain::of(&standing, &made, around.is_validated()),
        warnings,
    };
    environment.check_standing(&ours)?;
    environment.security_group = ours.into_iter().next().map(|group| group.id);
    if environment.certificate_arn.is_none()
        && let Some(why) = dns::forbidden(&resolver, &public, &around).await
    {
        let ours = certificate::find(acm, &environment).await?;
        if certificate::best(&ours).is_none_or(|best| best.check_issued().is_err()) {
            let problem = format!("{why}, or give the \"certificateArn\" of one that you have imported");
            return Err(Error::input("$.domain", problem));
        }
        environment.warnings.push(format!("{why}, or the certificate that stands will not be renewed"));
    }
    let front = if dns::is_claimable(&environment, &standing) { own_front(elb, &environment).await? } else { None };
    // A conflict shows now, before anything is made, whatever the load balancer's name will be.
    dns::point(&environment, &front.unwrap_or_default(), &standing.clone().with(made.clone()))?;
    environment.complete = dns::is_owned(&owner, &environment.name, &environment.domain, &standing);
    let Environment { zone, domain, .. } = &environment;
    match environment.mode {
        Mode::Apply => lock::take(route53, sfn, &zone.id, domain, standing.lock.as_ref(), &event.run, &made).await?,
        Mode::Plan => drop(lock::check(&zone.id, domain, standing.lock.as_ref())?),
    }
    Ok(environment)
}

/// The environment's load balancer, where it stands and is ours.
async fn own_front(elb: &aws_sdk_elasticloadbalancingv2::Client, environment: &Environment) -> Result<Option<Front>> {
    let Some(front) = load_balancer::named(elb, &environment.name).await?.as_ref().map(Front::from) else {
        return Ok(None);
    };
    let tags = load_balancer::tags_of(elb, std::slice::from_ref(&front.arn)).await?;
    let is_ours = |tags: &Tags| tags.are_of(&environment.stack, &environment.name);
    Ok(tags.get(&front.arn).is_some_and(is_ours).then_some(front))
}
