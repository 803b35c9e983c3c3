//! The target group: where the load balancer sends requests, and how it checks the instances' health.

use std::collections::{HashMap, HashSet};

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{
    Matcher, ProtocolEnum, TargetDescription, TargetGroup, TargetHealthDescription, TargetHealthStateEnum,
    TargetTypeEnum,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::{Call, Codes, Error, Result};
use crate::load_balancer;
use crate::step::{Outcome, Step, change};
use crate::tags::Tags;

/// In the rows of answers.
const RESOURCE: &str = "target group";

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
    found: Option<TargetGroup>,
) -> Result<(String, Step)> {
    let step = match found {
        Some(group) => {
            let step = plan(environment, Some(&group));
            if step.outcome == Outcome::Changed {
                set_health_check(client, environment, &step.id).await?;
            }
            step
        }
        None => {
            let created = create(client, environment).await?;
            Step::new(RESOURCE, created.target_group_arn.unwrap_or_default(), Outcome::Created)
        }
    };
    Ok((step.id.clone(), step))
}

/// What [`ensure`] would do.
pub fn plan(environment: &Environment, found: Option<&TargetGroup>) -> Step {
    let Some(group) = found else { return Step::new(RESOURCE, "", Outcome::Created) };
    let check = &environment.health_check;
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
    Step::settled(RESOURCE, arn, changes.into_iter().flatten().collect())
}

async fn create(client: &elb::Client, environment: &Environment) -> Result<TargetGroup> {
    let check = &environment.health_check;
    let answer = client
        .create_target_group()
        .name(environment.target_group_name())
        .target_type(TargetTypeEnum::Instance)
        .protocol(ProtocolEnum::Http)
        .protocol_version("HTTP1")
        .port(environment.port.into())
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
        .set_tags(Some(load_balancer::own_tags(environment)))
        .send()
        .await
        .call("elasticloadbalancing:CreateTargetGroup")
        .unless(&["DuplicateTargetGroupName"])?;
    let group = match answer {
        Some(created) => created.target_groups.unwrap_or_default().into_iter().next(),
        // Made beside us since we looked.
        None => load_balancer::find(client, environment).await?.targets,
    };
    group.ok_or_else(|| {
        Error::not_shown_yet("elasticloadbalancing:DescribeTargetGroups", environment.target_group_name())
    })
}

async fn set_health_check(client: &elb::Client, environment: &Environment, arn: &str) -> Result<()> {
    let check = &environment.health_check;
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

/// Makes the environment's instances, on its port, the only targets of a group; `new`: the group has none yet. Answers
/// besides the rows whether they were that already, and healthy.
pub async fn register(
    client: &elb::Client,
    environment: &Environment,
    arn: &str,
    new: bool,
) -> Result<(Vec<Step>, bool)> {
    let standing = if new { vec![] } else { targets(client, arn).await? };
    let difference = differ(environment, &standing);
    let Difference { missing, excess, .. } = &difference;
    let descriptions = |targets: &[(&str, i32)]| {
        targets.iter().map(|(id, port)| TargetDescription::builder().id(*id).port(*port).build()).collect()
    };
    if !missing.is_empty() {
        client
            .register_targets()
            .target_group_arn(arn)
            .set_targets(Some(descriptions(missing)))
            .send()
            .await
            .call("elasticloadbalancing:RegisterTargets")
            .appears_late(&["TargetGroupNotFound"])?;
    }
    if !excess.is_empty() {
        client
            .deregister_targets()
            .target_group_arn(arn)
            .set_targets(Some(descriptions(excess)))
            .send()
            .await
            .call("elasticloadbalancing:DeregisterTargets")?;
    }
    Ok((difference.steps(), ills(environment, &standing).is_empty()))
}

/// What [`register`] would do to the targets of a group, `None` where it is to be made.
pub async fn plan_targets(client: &elb::Client, environment: &Environment, arn: Option<&str>) -> Result<Vec<Step>> {
    let standing = match arn {
        Some(arn) => targets(client, arn).await?,
        None => vec![],
    };
    Ok(differ(environment, &standing).steps())
}

/// The targets to deregister, to register, and those that stand as wanted, by id and port.
struct Difference<'a> {
    excess: Vec<(&'a str, i32)>,
    missing: Vec<(&'a str, i32)>,
    found: Vec<(&'a str, i32)>,
}

impl Difference<'_> {
    fn steps(&self) -> Vec<Step> {
        let all = [(&self.excess, Outcome::Removed), (&self.missing, Outcome::Created), (&self.found, Outcome::Found)];
        all.iter().flat_map(|(targets, to)| targets.iter().map(|(id, _)| Step::new("target", *id, *to))).collect()
    }
}

fn differ<'a>(environment: &'a Environment, standing: &'a [Target]) -> Difference<'a> {
    let standing: Vec<(&str, i32)> = standing
        .iter()
        .filter(|target| !target.is_draining())
        .map(|target| (target.id.as_str(), target.port))
        .collect();
    let wanted = environment.instances.iter().map(|instance| (instance.id.as_str(), i32::from(environment.port)));
    let (found, missing): (Vec<_>, Vec<_>) = wanted.partition(|target| standing.contains(target));
    let excess = standing.into_iter().filter(|target| !found.contains(target)).collect();
    Difference { excess, missing, found }
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
pub async fn check_health(client: &elb::Client, environment: &Environment, arn: &str) -> Result<()> {
    let ill = ills(environment, &targets(client, arn).await?);
    if ill.is_empty() { Ok(()) } else { Err(Error::TargetsNotHealthy(ill.join("; "))) }
}

/// What is wrong with each instance of the environment that is not healthy.
fn ills(environment: &Environment, targets: &[Target]) -> Vec<String> {
    let mut ill = vec![];
    for instance in &environment.instances {
        match targets.iter().find(|target| target.id == instance.id && target.port == i32::from(environment.port)) {
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
    let (path, port) = (&environment.health_check.path, environment.port);
    match target.reason.split(':').next().unwrap_or_default() {
        "Target.Timeout" => format!(
            "is the service running and listening on 0.0.0.0:{port}, and do the instance's security group and network ACL admit the load balancer on that port?"
        ),
        "Target.ResponseCodeMismatch" => format!(
            "make http://localhost:{port}{path} on the instance answer {}, or give another healthCheck.path or healthCheck.matcher",
            environment.health_check.matcher
        ),
        "Target.FailedHealthChecks" => format!("does `curl -i http://localhost:{port}{path}` work on the instance?"),
        "Target.NotInUse" => {
            "its Availability Zone is not one of the load balancer's, or no listener uses the target group".into()
        }
        "Target.InvalidState" => "start the instance".into(),
        _ => "wait, or look at the target group's Targets tab".into(),
    }
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
    describe(client, &crate::environment::target_group_name(environment)).await
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
        let user = match name.strip_suffix(crate::environment::TARGET_GROUP_SUFFIX) {
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
        Err(Error::AwsRefused(refusal)) if refusal.code == "ResourceInUse" => {
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
        assert_eq!(plan(&environment, Some(&found)), Step::new(RESOURCE, "arn", Outcome::Found));
        let other = as_wanted.health_check_path("/").set_matcher(None).build();
        assert_eq!(
            plan(&environment, Some(&other)).changes,
            ["health check path: / → /health", "health check matcher: none → 200"]
        );
        assert_eq!(plan(&environment, None), Step::new(RESOURCE, "", Outcome::Created));
    }

    #[test]
    fn targets_go_come_and_stay() {
        let target = |id: &str, port: i32, state: TargetHealthStateEnum| Target {
            id: id.into(),
            port,
            state,
            reason: String::new(),
        };
        let rows = |standing: &[Target]| -> Vec<(String, Outcome)> {
            let steps = differ(&Environment::example(), standing).steps();
            steps.into_iter().map(|step| (step.id, step.outcome)).collect()
        };
        let (i1, i2) = (|| "i-1".to_owned(), || "i-2".to_owned());
        use TargetHealthStateEnum::{Draining, Healthy, Unhealthy};
        assert_eq!(rows(&[]), [(i1(), Outcome::Created)]);
        assert_eq!(rows(&[target("i-1", 80, Unhealthy)]), [(i1(), Outcome::Found)]);
        assert_eq!(rows(&[target("i-1", 80, Draining)]), [(i1(), Outcome::Created)]);
        assert_eq!(rows(&[target("i-1", 8080, Healthy)]), [(i1(), Outcome::Removed), (i1(), Outcome::Created)]);
        let both = [target("i-2", 80, Healthy), target("i-1", 80, Healthy)];
        assert_eq!(rows(&both), [(i2(), Outcome::Removed), (i1(), Outcome::Found)]);
    }
}
