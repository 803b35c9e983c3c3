//! Tells what a provision would make, change or find, and changes nothing: the rows of its answer, in their order, its
//! edits of the DNS records, and the cost. Each row comes from the comparison that the state which acts goes by.

use albatross::aws::{self, Clients};
use albatross::error::Result;
use albatross::kind::Kind;
use albatross::lambda;
use albatross::price::{self, Cost};
use albatross::resource::certificate::{self, Certificate};
use albatross::resource::former::Former;
use albatross::resource::listener::{self, Listeners};
use albatross::resource::load_balancer;
use albatross::resource::security_group::Rules;
use albatross::resource::seen::Seen;
use albatross::resource::{dns, security_group, target_group};
use albatross::spec::environment::Environment;
use albatross::spec::ids::LoadBalancerIds;
use albatross::spec::input::{Input, Mode};
use albatross::step::{Outcome, Step};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Event {
    environment: Environment,
    seen: Seen,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Answer {
    environment: String,
    domain: String,
    mode: Mode,
    steps: Vec<Step>,
    dns: Vec<String>,
    warnings: Vec<String>,
    cost: Cost,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let clients = Clients::new(aws::config());
    lambda::run(async |event: Event| plan(&clients, event).await).await
}

async fn plan(clients: &Clients, event: Event) -> Result<Answer> {
    let Event { environment, seen, warnings } = event;
    let Clients { acm, ec2, elb, route53, .. } = clients;
    let (found_group, found, certificates) = tokio::try_join!(
        security_group::find(ec2, &environment),
        load_balancer::find(elb, &environment),
        certificate::find(acm, &environment, seen.at_domain.validated),
    )?;
    let targets_step = target_group::plan(&environment, found.targets.as_ref());
    let certificate_step = certificate::plan(&environment, &certificates);
    let target_group = if_new(&targets_step.id, environment.target_group_name());
    let certificate = if_new(&certificate_step.id, "certificate".into());
    let group = if_new(found_group.as_deref().unwrap_or_default(), environment.security_group_name());
    let front = match &found.front {
        Some((found, _)) => LoadBalancerIds::from(found),
        None => {
            LoadBalancerIds { dns_name: if_new("", environment.load_balancer_name()), ..LoadBalancerIds::default() }
        }
    };
    let https = async {
        let listeners =
            if found.front.is_some() { Listeners::of(elb, &front.arn).await? } else { Listeners::default() };
        let step = listener::plan_https(elb, &environment, &target_group, &certificate, &listeners).await?;
        Result::Ok((listeners, step))
    };
    let targets_arn = Some(targets_step.id.as_str()).filter(|arn| !arn.is_empty());
    let (rules, front_step, targets, (listeners, https_step), (record_steps, mut dns)) = tokio::try_join!(
        Rules::standing(ec2, &environment, found_group.as_ref()),
        load_balancer::plan(elb, &environment, &group, found.front.as_ref()),
        target_group::plan_targets(elb, &environment, targets_arn),
        https,
        validation(route53, &environment, &front, &certificates),
    )?;
    let (alias_step, edits) = dns::would_edit(&environment, &seen.at_domain, &front)?;
    let group_step = security_group::plan(&environment, found_group.as_ref(), &rules);
    let open_steps = security_group::plan_open(&environment, &group, &rules);
    let mut steps = vec![group_step, targets_step, front_step, listener::plan_http(&listeners, &target_group)];
    steps.extend(open_steps.into_iter().chain(targets.steps));
    steps.push(certificate_step);
    steps.extend(record_steps);
    steps.push(https_step);
    steps.push(listener::plan_redirect(&environment, &listeners.http().unwrap_or_default()));
    let former = Former::of(targets.former, rules.former(&environment, &group), vec![]);
    steps.extend(former.iter().flat_map(Former::steps));
    steps.push(alias_step);
    dns.extend(dns::diff(&environment, &front, &edits));
    let region = aws::region(&clients.config);
    let cost = price::environment(&region, environment.subnets.len(), environment.public_ipv4());
    let Environment { name, input: Input { domain, mode, .. }, .. } = environment;
    Ok(Answer { environment: name, domain, mode, steps, dns, warnings, cost })
}

/// The id, or for what is not made yet its name in angle brackets.
fn if_new(id: &str, name: String) -> String {
    if id.is_empty() { format!("<{name}>") } else { id.into() }
}

/// The validation records that are to be made, as rows and as a diff.
async fn validation(
    route53: &aws_sdk_route53::Client,
    environment: &Environment,
    front: &LoadBalancerIds,
    certificates: &[Certificate],
) -> Result<(Vec<Step>, Vec<String>)> {
    let (mut steps, mut dns) = (vec![], vec![]);
    let Some(records) = certificate::awaited(environment, certificates) else { return Ok((steps, dns)) };
    for record in records {
        let (step, edits) = dns::plan_cname(route53, &environment.zone, record).await?;
        steps.push(step);
        dns.extend(dns::diff(environment, front, &edits));
    }
    if records.is_empty() {
        steps.push(Step::new(Kind::ValidationRecord, "", Outcome::Created));
        dns.push(format!(
            "+ the CNAME under {} that ACM names as the certificate is requested",
            environment.input.domain
        ));
    }
    Ok((steps, dns))
}
