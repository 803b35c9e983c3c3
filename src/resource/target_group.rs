//! The target group: where the load balancer sends requests, and how it checks the instances' health.

use std::collections::{HashMap, HashSet};

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{
    Matcher, ProtocolEnum, TargetDescription, TargetGroup, TargetHealthDescription, TargetHealthStateEnum,
    TargetTypeEnum,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::seen::Seen;
use super::tags::{self, Tags};
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::spec::environment::Environment;
use crate::spec::names;
use crate::step::{Outcome, Step, change};

/// The target group of a name, whosever.
pub async fn describe(client: &elb::Client, name: &str) -> Result<Option<TargetGroup>> {
    let answer = client
        .describe_target_groups()
        .names(name)
        .send()
        .await
        .call("elasticloadbalancing:DescribeTargetGroups")
        .unless(&["TargetGroupNotFound"])?;
    Ok(answer.and_then(|answer| answer.target_groups.unwrap_or_default().into_iter().next()))
}

/// The target group with the environment's health check, `found` or made; the targets are [`register`]'s.
pub async fn ensure(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    found: Option<TargetGroup>,
) -> Result<(String, Step)> {
    let step = match found {
        Some(group) => {
            let step = plan(environment, Some(&group));
            if step.outcome == Outcome::Changed {
                set_health_check(client, environment, &step.id).await.authorised_late(!seen.complete)?;
            }
            step
        }
        None => {
            let created = create(client, environment).await?;
            Step::new(Kind::TargetGroup, created.target_group_arn.unwrap_or_default(), Outcome::Created)
        }
    };
    Ok((step.id.clone(), step))
}

/// What [`ensure`] would do.
pub fn plan(environment: &Environment, found: Option<&TargetGroup>) -> Step {
    let Some(group) = found else { return Step::new(Kind::TargetGroup, "", Outcome::Created) };
    let check = &environment.input.health_check;
    let matcher = group.matcher().and_then(|matcher| matcher.http_code()).unwrap_or_default();
    let seconds = |seconds: Option<i32>| seconds.unwrap_or_default();
    let changes = [
        change("health check path", group.health_check_path().unwrap_or_default(), &check.path),
        change("health check interval", seconds(group.health_check_interval_seconds()), check.interval_seconds),
        change("health check timeout", seconds(group.health_check_timeout_seconds()), check.timeout_seconds),
        change("healthy threshold", group.healthy_threshold_count().unwrap_or_default(), check.healthy_threshold),
        change("unhealthy threshold", group.unhealthy_threshold_count().unwrap_or_default(), check.unhealthy_threshold),
        change("health check matcher", matcher, &check.matcher),
    ];
    let arn = group.target_group_arn().unwrap_or_default();
    Step::settled(Kind::TargetGroup, arn, changes.into_iter().flatten().collect())
}

/// The target group of the environment's name.
///
/// # Errors
/// [`Error::NotOurs`].
pub async fn find(client: &elb::Client, environment: &Environment) -> Result<Option<TargetGroup>> {
    let Some(found) = describe(client, &environment.target_group_name()).await? else { return Ok(None) };
    let arn = found.target_group_arn().unwrap_or_default();
    let tags = tags::by_arn(client, &[arn.to_owned()]).await?.remove(arn).unwrap_or_default();
    tags.check(environment, Kind::TargetGroup, arn)?;
    Ok(Some(found))
}

async fn create(client: &elb::Client, environment: &Environment) -> Result<TargetGroup> {
    let check = &environment.input.health_check;
    let answer = client
        .create_target_group()
        .name(environment.target_group_name())
        .target_type(TargetTypeEnum::Instance)
        .protocol(ProtocolEnum::Http)
        .protocol_version("HTTP1")
        .port(environment.input.port.into())
        .vpc_id(&environment.vpc)
        .health_check_enabled(true)
        .health_check_protocol(ProtocolEnum::Http)
        .health_check_port("traffic-port")
        .health_check_path(&check.path)
        .health_check_interval_seconds(check.interval_seconds)
        .health_check_timeout_seconds(check.timeout_seconds)
        .healthy_threshold_count(check.healthy_threshold)
        .unhealthy_threshold_count(check.unhealthy_threshold)
        .matcher(Matcher::builder().http_code(&check.matcher).build())
        .set_tags(Some(tags::of_elb(environment)))
        .send()
        .await
        .call("elasticloadbalancing:CreateTargetGroup")
        .unless(&["DuplicateTargetGroupName"])?;
    let group = match answer {
        Some(created) => created.target_groups.unwrap_or_default().into_iter().next(),
        // Made beside us since we looked.
        None => find(client, environment).await?,
    };
    group.ok_or_else(|| {
        Error::not_shown_yet("elasticloadbalancing:DescribeTargetGroups", environment.target_group_name())
    })
}

async fn set_health_check(client: &elb::Client, environment: &Environment, arn: &str) -> Result<()> {
    let check = &environment.input.health_check;
    client
        .modify_target_group()
        .target_group_arn(arn)
        .health_check_path(&check.path)
        .health_check_interval_seconds(check.interval_seconds)
        .health_check_timeout_seconds(check.timeout_seconds)
        .healthy_threshold_count(check.healthy_threshold)
        .unhealthy_threshold_count(check.unhealthy_threshold)
        .matcher(Matcher::builder().http_code(&check.matcher).build())
        .send()
        .await
        .call("elasticloadbalancing:ModifyTargetGroup")
        .map(drop)
}

/// What was found of the targets of a group, and done about it.
#[derive(Debug)]
pub struct Registered {
    pub steps: Vec<Step>,
    /// The environment's instances, on its port, were targets already, and healthy.
    pub healthy: bool,
    /// [`retire`]'s, once those are.
    pub former: Vec<FormerTarget>,
}

impl Registered {
    fn of(environment: &Environment, standing: &[Target]) -> Self {
        let Difference { missing, found, former } = differ(environment, standing);
        let missing = missing.into_iter().map(|id| Step::new(Kind::Target, id, Outcome::Created));
        let steps = missing.chain(found.into_iter().map(|id| Step::new(Kind::Target, id, Outcome::Found))).collect();
        Registered { steps, healthy: ills(environment, standing).is_empty(), former }
    }
}

/// Makes the environment's instances, on its port, targets of a group beside those that it has; `new`: it has none yet.
pub async fn register(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    arn: &str,
    new: bool,
) -> Result<Registered> {
    let standing = if new { vec![] } else { targets(client, arn).await? };
    let Difference { missing, .. } = differ(environment, &standing);
    if !missing.is_empty() {
        let port = environment.input.port.into();
        let missing = missing.iter().map(|id| TargetDescription::builder().id(*id).port(port).build()).collect();
        client
            .register_targets()
            .target_group_arn(arn)
            .set_targets(Some(missing))
            .send()
            .await
            .call("elasticloadbalancing:RegisterTargets")
            .appears_late(&["TargetGroupNotFound"])
            .authorised_late(new || !seen.complete)?;
    }
    Ok(Registered::of(environment, &standing))
}

/// What [`register`] would do to the targets of a group, `None` where it is to be made.
pub async fn plan_targets(client: &elb::Client, environment: &Environment, arn: Option<&str>) -> Result<Registered> {
    let standing = match arn {
        Some(arn) => targets(client, arn).await?,
        None => vec![],
    };
    Ok(Registered::of(environment, &standing))
}

/// The instances to register, those that stand as wanted, and the targets that are not wanted any more.
struct Difference<'a> {
    missing: Vec<&'a str>,
    found: Vec<&'a str>,
    former: Vec<FormerTarget>,
}

fn differ<'a>(environment: &'a Environment, standing: &[Target]) -> Difference<'a> {
    let standing: Vec<&Target> = standing.iter().filter(|target| !target.is_draining()).collect();
    let ids = environment.targets.iter().map(|instance| instance.id.as_str());
    let (found, missing) = ids.partition(|id| standing.iter().any(|target| target.is(id, environment.input.port)));
    let is_wanted = |target: &Target| environment.targets.iter().any(|it| target.is(&it.id, environment.input.port));
    let former = standing.into_iter().filter(|target| !is_wanted(target));
    let former = former.map(|target| FormerTarget { id: target.id.clone(), port: target.port }).collect();
    Difference { missing, found, former }
}

/// A registered target that is not wanted any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerTarget {
    pub id: String,
    pub port: i32,
}

impl FormerTarget {
    pub fn step(&self) -> Step {
        Step::removed(Kind::Target, &self.id, format!("port {}", self.port))
    }
}

/// Deregisters targets. Again is safe. Answers whether one was in use until now: the load balancer may go on sending to it
/// for a moment.
pub async fn retire(client: &elb::Client, arn: &str, former: &[FormerTarget]) -> Result<bool> {
    if former.is_empty() {
        return Ok(false);
    }
    let standing = targets(client, arn).await?;
    let is_former = |target: &&Target| former.iter().any(|it| target.id == it.id && target.port == it.port);
    let in_use: Vec<TargetDescription> = standing
        .iter()
        .filter(|target| !target.is_draining())
        .filter(is_former)
        .map(|target| TargetDescription::builder().id(&target.id).port(target.port).build())
        .collect();
    if in_use.is_empty() {
        return Ok(false);
    }
    let call = client.deregister_targets().target_group_arn(arn).set_targets(Some(in_use));
    call.send().await.call("elasticloadbalancing:DeregisterTargets").map(|_| true)
}

/// A registered target and its health.
#[derive(Debug, Clone)]
pub struct Target {
    pub id: String,
    pub port: i32,
    pub state: TargetHealthStateEnum,
    /// ELB's reason code and description; empty for a healthy one.
    pub reason: String,
}

impl Target {
    fn is(&self, id: &str, port: u16) -> bool {
        self.id == id && self.port == i32::from(port)
    }

    /// Deregistered, and still shown for its deregistration delay (ELB user guide, target health).
    fn is_draining(&self) -> bool {
        self.state == TargetHealthStateEnum::Draining
    }
}

impl From<&TargetHealthDescription> for Target {
    fn from(described: &TargetHealthDescription) -> Self {
        let health = described.target_health();
        let reason = [
            health.and_then(|health| health.reason()).map(|reason| reason.as_str()),
            health.and_then(|health| health.description()),
        ];
        Target {
            id: described.target().and_then(|target| target.id()).unwrap_or_default().into(),
            port: described.target().and_then(|target| target.port()).unwrap_or_default(),
            state: health.and_then(|health| health.state()).cloned().unwrap_or(TargetHealthStateEnum::Initial),
            reason: reason.into_iter().flatten().collect::<Vec<_>>().join(": "),
        }
    }
}

/// The targets of a group, with their health; none where the group is gone.
pub async fn targets(client: &elb::Client, arn: &str) -> Result<Vec<Target>> {
    let answer = client
        .describe_target_health()
        .target_group_arn(arn)
        .send()
        .await
        .call("elasticloadbalancing:DescribeTargetHealth")
        .unless(&["TargetGroupNotFound"])?;
    Ok(answer.iter().flat_map(|answer| answer.target_health_descriptions()).map(Target::from).collect())
}

/// Checks that every instance of the environment is healthy.
///
/// # Errors
/// [`Error::TargetsNotHealthy`] with each target's state, ELB's reason and what to look at.
pub async fn check_health(client: &elb::Client, environment: &Environment, seen: &Seen, arn: &str) -> Result<()> {
    let standing = targets(client, arn).await?;
    let mut ill = ills(environment, &standing);
    if ill.is_empty() {
        return Ok(());
    }
    ill.extend(serving_on(environment, seen, &standing));
    Err(Error::TargetsNotHealthy(ill.join("; ")))
}

/// What serves in place of those that are not healthy. Where the environment did not stand before, nothing stays.
fn serving_on(environment: &Environment, seen: &Seen, targets: &[Target]) -> Option<String> {
    let former = differ(environment, targets).former;
    let serves = |it: &&FormerTarget| {
        targets.iter().any(|target| {
            target.id == it.id && target.port == it.port && target.state == TargetHealthStateEnum::Healthy
        })
    };
    let serving: Vec<String> =
        former.iter().filter(serves).map(|target| format!("{} on port {}", target.id, target.port)).collect();
    let serves_on = seen.complete && !serving.is_empty();
    serves_on.then(|| format!("the former targets stay and serve: {}", serving.join(", ")))
}

/// What is wrong with each instance of the environment that is not healthy.
fn ills(environment: &Environment, targets: &[Target]) -> Vec<String> {
    let mut ill = vec![];
    for instance in &environment.targets {
        match targets.iter().find(|target| target.is(&instance.id, environment.input.port)) {
            Some(target) if target.state == TargetHealthStateEnum::Healthy => {}
            Some(target) => ill.push(format!(
                "{} is {} ({}): {}",
                target.id,
                target.state,
                target.reason,
                advice(target, environment)
            )),
            None => ill.push(format!("{} is not registered; provision again", instance.id)),
        }
    }
    ill
}

/// What to look at, by ELB's reason code.
fn advice(target: &Target, environment: &Environment) -> String {
    let (path, port) = (&environment.input.health_check.path, environment.input.port);
    match target.reason.split(':').next().unwrap_or_default() {
        "Target.Timeout" => format!(
            "is the service running and listening on 0.0.0.0:{port}, and do the instance's security group and network ACL admit the load balancer on that port?"
        ),
        // A matcher with 3xx would pass a backend that redirects every request to itself.
        "Target.ResponseCodeMismatch" if is_redirect(&target.reason) => format!(
            "a health check follows no redirect. Have the backend answer {path} itself, and redirect to HTTPS only what comes without X-Forwarded-Proto: https; or give another healthCheck.path"
        ),
        // Frameworks with a list of allowed hosts answer 400 to such a Host.
        "Target.ResponseCodeMismatch" => format!(
            "the health check wants {} of `curl -i -H 'Host: <private address>:{port}' http://localhost:{port}{path}` on the instance. Its Host header is the instance's private address, not {}: a backend that goes by host names has to answer that too, by its default server or an allowed host. Or give another healthCheck.path or healthCheck.matcher",
            environment.input.health_check.matcher, environment.input.domain
        ),
        "Target.FailedHealthChecks" => format!("does `curl -i http://localhost:{port}{path}` work on the instance?"),
        "Target.NotInUse" => {
            "its Availability Zone is not one of the load balancer's, or no listener uses the target group".into()
        }
        "Target.InvalidState" => "start the instance".into(),
        _ => "wait, or look at the target group's Targets tab".into(),
    }
}

/// ELB's words have the codes at their end: `Health checks failed with these codes: [301]`.
fn is_redirect(reason: &str) -> bool {
    let codes = reason.rsplit('[').next().unwrap_or_default();
    codes.split(|c: char| !c.is_ascii_digit()).any(|code| code.len() == 3 && code.starts_with('3'))
}

/// The target group of an environment as teardown sees it.
#[derive(Debug, Clone)]
pub struct Ours {
    pub arn: String,
    pub vpc: String,
    pub tags: Tags,
}

impl Ours {
    pub fn of(described: &TargetGroup, tags: Tags) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ours { arn: text(described.target_group_arn()), vpc: text(described.vpc_id()), tags }
    }

    /// What may use its instances too.
    pub fn beside(&self) -> Beside {
        Beside { arn: self.arn.clone(), vpc: self.vpc.clone() }
    }
}

/// The other target groups of a target group's VPC.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Beside {
    arn: String,
    vpc: String,
}

/// The target group of this environment's name, whosever it is.
pub async fn named(client: &elb::Client, environment: &str) -> Result<Option<TargetGroup>> {
    describe(client, &names::target_group(environment)).await
}

/// What uses some instances by another target group that a load balancer sends to, whosever that is, in words by the id of
/// the instance: targets by instance id lie in the group's own VPC (ELB user guide, target type).
pub async fn users(client: &elb::Client, beside: &Beside, ids: &HashSet<String>) -> Result<HashMap<String, String>> {
    let all = client.describe_target_groups().into_paginator().items().send().try_collect();
    let all: Vec<TargetGroup> = all.await.call("elasticloadbalancing:DescribeTargetGroups")?;
    let serves = |group: &&TargetGroup| {
        group.vpc_id() == Some(&beside.vpc)
            && group.target_group_arn() != Some(&beside.arn)
            && !group.load_balancer_arns().is_empty()
    };
    let others = all
        .iter()
        .filter(serves)
        .map(async |group| Result::Ok((group, instances(client, group.target_group_arn().unwrap_or_default()).await?)));
    let mut users = HashMap::new();
    for other in join_all(others).await {
        let (group, instances) = other?;
        let name = group.target_group_name().unwrap_or_default();
        let user = match name.strip_suffix(names::TARGET_GROUP_SUFFIX) {
            Some(environment) => format!("environment {environment}"),
            None => format!("target group {name}"),
        };
        users.extend(instances.into_iter().filter(|id| ids.contains(id)).map(|id| (id, user.clone())));
    }
    Ok(users)
}

/// The instances of a group's targets, without those that were deregistered and still drain.
pub async fn instances(client: &elb::Client, arn: &str) -> Result<HashSet<String>> {
    let standing = targets(client, arn).await?.into_iter().filter(|target| !target.is_draining());
    Ok(standing.map(|target| target.id).collect())
}

/// Deletes a target group of ours. Again is safe.
///
/// # Errors
/// [`Error::StillDeleting`] while a listener of the deleted load balancer still uses it.
pub async fn remove(client: &elb::Client, arn: &str) -> Result<()> {
    let deleted = client
        .delete_target_group()
        .target_group_arn(arn)
        .send()
        .await
        .call("elasticloadbalancing:DeleteTargetGroup")
        .unless(&["TargetGroupNotFound"]);
    match deleted {
        Err(Error::AwsRefused(refusal)) if refusal.is(&["ResourceInUse"]) => {
            Err(Error::StillDeleting(format!("target group {arn}: {}", refusal.message)))
        }
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_differs_by_its_health_check() {
        let environment = Environment::example();
        let as_wanted = TargetGroup::builder()
            .target_group_arn("arn")
            .health_check_path("/health")
            .health_check_interval_seconds(10)
            .health_check_timeout_seconds(5)
            .healthy_threshold_count(2)
            .unhealthy_threshold_count(2)
            .matcher(Matcher::builder().http_code("200").build());
        let found = as_wanted.clone().build();
        assert_eq!(plan(&environment, Some(&found)), Step::new(Kind::TargetGroup, "arn", Outcome::Found));
        let other = as_wanted.health_check_path("/").set_matcher(None).build();
        assert_eq!(
            plan(&environment, Some(&other)).changes,
            ["health check path: / → /health", "health check matcher: none → 200"]
        );
        assert_eq!(plan(&environment, None), Step::new(Kind::TargetGroup, "", Outcome::Created));
    }

    fn target(id: &str, port: i32, state: TargetHealthStateEnum, reason: &str) -> Target {
        Target { id: id.into(), port, state, reason: reason.into() }
    }

    #[test]
    fn targets_come_and_stay_and_former_ones_wait() {
        use TargetHealthStateEnum::{Draining, Healthy, Unhealthy};
        let of = |standing: &[(&str, i32, TargetHealthStateEnum)]| {
            let standing: Vec<Target> =
                standing.iter().map(|(id, port, state)| target(id, *port, state.clone(), "")).collect();
            let Registered { steps, healthy, former } = Registered::of(&Environment::example(), &standing);
            let rows: Vec<(String, Outcome)> = steps.into_iter().map(|step| (step.id, step.outcome)).collect();
            let former: Vec<(String, i32)> = former.into_iter().map(|target| (target.id, target.port)).collect();
            (rows, healthy, former)
        };
        let row = |outcome: Outcome| vec![("i-1".to_owned(), outcome)];
        assert_eq!(of(&[]), (row(Outcome::Created), false, vec![]));
        assert_eq!(of(&[("i-1", 80, Healthy)]), (row(Outcome::Found), true, vec![]));
        assert_eq!(of(&[("i-1", 80, Unhealthy)]), (row(Outcome::Found), false, vec![]));
        assert_eq!(of(&[("i-1", 80, Draining)]), (row(Outcome::Created), false, vec![]));
        let other_port = of(&[("i-1", 8080, Healthy)]);
        assert_eq!(other_port, (row(Outcome::Created), false, vec![("i-1".to_owned(), 8080)]));
        let other_instance = of(&[("i-2", 80, Healthy), ("i-1", 80, Healthy)]);
        assert_eq!(other_instance, (row(Outcome::Found), true, vec![("i-2".to_owned(), 80)]));
    }

    #[test]
    fn an_error_says_that_the_former_targets_serve_on() {
        use TargetHealthStateEnum::{Healthy, Unhealthy};
        let (environment, mut seen) = (Environment::example(), Seen { complete: true, ..Seen::default() });
        let standing =
            [target("i-1", 80, Unhealthy, ""), target("i-2", 80, Healthy, ""), target("i-3", 80, Unhealthy, "")];
        let said = |seen: &Seen| serving_on(&environment, seen, &standing);
        assert_eq!(said(&seen).unwrap(), "the former targets stay and serve: i-2 on port 80");
        assert_eq!(serving_on(&environment, &seen, &standing[..1]), None);
        seen.complete = false;
        assert_eq!(said(&seen), None);
    }

    #[test]
    fn advice_on_a_wrong_status_is_of_the_host_or_of_the_redirect() {
        let said = |codes: &str| {
            let reason = format!("Target.ResponseCodeMismatch: Health checks failed with these codes: {codes}");
            advice(&target("i-1", 80, TargetHealthStateEnum::Unhealthy, &reason), &Environment::example())
        };
        for word in ["Host", "private address", "not api.example.com", "default server", "allowed host"] {
            assert!(said("[400]").contains(word), "{word}");
        }
        assert!(said("[400]").contains("healthCheck.matcher"));
        for codes in ["[301]", "[302]", "[200, 308]"] {
            assert!(said(codes).contains("X-Forwarded-Proto"), "{codes}");
            assert!(!said(codes).contains("matcher"), "{codes}");
        }
    }
}
