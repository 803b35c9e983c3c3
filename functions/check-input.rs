//! First state of provision: checks the whole input and resolves it to an environment, by reads alone; then takes the
//! environment's lock, unless it is just to plan.

use albatross::dns::AtDomain;
use albatross::environment::{self, Environment, Input, Mode};
use albatross::error::Result;
use albatross::security_group::Ours;
use albatross::{aws, certificate, dns, instance, lambda, load_balancer, lock, network, security_group, tags};
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
    route53: aws_sdk_route53::Client,
    sfn: aws_sdk_sfn::Client,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let clients = Clients {
        acm: aws_sdk_acm::Client::new(&config),
        ec2: aws_sdk_ec2::Client::new(&config),
        route53: aws_sdk_route53::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
    };
    lambda::run(async |event: Event| check(&clients, event).await).await
}

async fn check(clients: &Clients, event: Event) -> Result<Environment> {
    let Clients { acm, ec2, route53, sfn } = clients;
    let input = Input::parse(event.input)?;
    let tags = tags::given(&lambda::resource_tags())?;
    let given_certificate = async {
        match &input.certificate_arn {
            Some(arn) => certificate::check_given(acm, arn, &input.domain).await,
            None => Ok(()),
        }
    };
    let (owner, name) = (lambda::owner(), input.name());
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
        let standing = dns::standing(route53, &zone.id, &input.domain).await?;
        Result::Ok((zone, standing))
    };
    let ((instances, mut subnets, groups), (zone, standing), ()) =
        tokio::try_join!(behind, at_domain, given_certificate)?;
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
        at_domain: AtDomain::of(&standing),
    };
    environment.check_standing(&ours)?;
    environment.security_group = ours.into_iter().next().map(|group| group.id);
    // A conflict shows now, before anything is made, whatever the load balancer's name will be.
    dns::point(&environment, &load_balancer::Front::default(), &standing)?;
    environment.complete = dns::is_owned(&owner, &environment.name, &environment.domain, &standing);
    let Environment { zone, domain, .. } = &environment;
    match environment.mode {
        Mode::Apply => lock::take(route53, sfn, &zone.id, domain, standing.lock.as_ref(), &event.run).await?,
        Mode::Plan => drop(lock::check(&zone.id, domain, standing.lock.as_ref())?),
    }
    Ok(environment)
}
