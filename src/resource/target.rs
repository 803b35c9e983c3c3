//! The targets of the target group: instances on a port, and their health.

use std::collections::{HashMap, HashSet};

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{TargetDescription, TargetGroup, TargetHealthDescription, TargetHealthStateEnum};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::seen::Seen;
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::spec::environment::Environment;
use crate::spec::ids::TargetGroupIds;
use crate::spec::names;
use crate::step::{Outcome, Step};

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

/// Reads the targets of a group, with their health; none where the group is to be made, or is gone.
pub async fn find(client: &elb::Client, group: Option<&str>) -> Result<Vec<Target>> {
    let Some(arn) = group else { return Ok(vec![]) };
    let answer = client
        .describe_target_health()
        .target_group_arn(arn)
        .send()
        .await
        .call("elasticloadbalancing:DescribeTargetHealth")
        .unless(&["TargetGroupNotFound"])?;
    Ok(answer.iter().flat_map(|answer| answer.target_health_descriptions()).map(Target::from).collect())
}

/// The instances to register, those that are targets already, and the targets that are not wanted any more.
#[derive(Debug)]
pub struct Difference {
    missing: Vec<String>,
    found: Vec<String>,
    /// [`remove`] takes them away once the wanted ones are healthy.
    pub former: Vec<FormerTarget>,
    /// The environment's instances, on its port, were targets already, and healthy.
    pub healthy: bool,
}

pub fn differ(environment: &Environment, targets: &[Target]) -> Difference {
    let standing: Vec<&Target> = targets.iter().filter(|target| !target.is_draining()).collect();
    let ids = environment.targets.iter().map(|instance| instance.id.clone());
    let (found, missing) = ids.partition(|id| standing.iter().any(|target| target.is(id, environment.input.port)));
    let is_wanted = |target: &Target| environment.targets.iter().any(|it| target.is(&it.id, environment.input.port));
    let former = standing.into_iter().filter(|target| !is_wanted(target));
    let former = former.map(|target| FormerTarget { id: target.id.clone(), port: target.port }).collect();
    Difference { missing, found, former, healthy: ills(environment, targets).is_empty() }
}

impl Difference {
    pub fn steps(&self) -> Vec<Step> {
        let missing = self.missing.iter().map(|id| Step::new(Kind::Target, id, Outcome::Created));
        missing.chain(self.found.iter().map(|id| Step::new(Kind::Target, id, Outcome::Found))).collect()
    }

    /// Registers the missing instances beside the targets that the group has; `just_made` is said of the group.
    pub async fn apply(
        &self,
        client: &elb::Client,
        environment: &Environment,
        seen: &Seen,
        group: &str,
        just_made: bool,
    ) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let port = environment.input.port.into();
        let missing = self.missing.iter().map(|id| TargetDescription::builder().id(id).port(port).build()).collect();
        client
            .register_targets()
            .target_group_arn(group)
            .set_targets(Some(missing))
            .send()
            .await
            .call("elasticloadbalancing:RegisterTargets")
            .appears_late(&["TargetGroupNotFound"])
            .authorised_late(just_made || !seen.complete)
            .map(drop)
    }
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

/// Deregisters targets. Again is safe. Returns whether one was in use until now: the load balancer may go on sending to
/// it for a moment.
pub async fn remove(client: &elb::Client, arn: &str, former: &[FormerTarget]) -> Result<bool> {
    if former.is_empty() {
        return Ok(false);
    }
    let standing = find(client, Some(arn)).await?;
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

/// Checks that every instance of the environment is healthy.
///
/// # Errors
/// [`Error::TargetsNotHealthy`] with each target's state, ELB's reason and what to look at.
pub async fn check_health(client: &elb::Client, environment: &Environment, seen: &Seen, arn: &str) -> Result<()> {
    let standing = find(client, Some(arn)).await?;
    let mut ill = ills(environment, &standing);
    if ill.is_empty() {
        return Ok(());
    }
    ill.extend(serving_on(environment, seen, &standing));
    Err(Error::TargetsNotHealthy(ill.join("; ")))
}

/// Says what serves in place of those that are not healthy. Where the environment did not stand before, nothing stays.
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

/// Says what is wrong with each instance of the environment that is not healthy.
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

/// Says what to look at, by ELB's reason code.
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

/// Reads ELB's words, which have the codes at their end: `Health checks failed with these codes: [301]`.
fn is_redirect(reason: &str) -> bool {
    let codes = reason.rsplit('[').next().unwrap_or_default();
    codes.split(|c: char| !c.is_ascii_digit()).any(|code| code.len() == 3 && code.starts_with('3'))
}

/// Finds what uses some instances by a target group beside this one that a load balancer sends to, whosever that is. Returns
/// it in words, by the id of the instance. Targets by instance id lie in the group's own VPC (ELB user guide, target type).
pub async fn users(
    client: &elb::Client,
    beside: &TargetGroupIds,
    ids: &HashSet<String>,
) -> Result<HashMap<String, String>> {
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

/// Lists the instances of a group's targets, without those that were deregistered and still drain.
pub async fn instances(client: &elb::Client, arn: &str) -> Result<HashSet<String>> {
    let standing = find(client, Some(arn)).await?.into_iter().filter(|target| !target.is_draining());
    Ok(standing.map(|target| target.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(id: &str, port: i32, state: TargetHealthStateEnum, reason: &str) -> Target {
        Target { id: id.into(), port, state, reason: reason.into() }
    }

    #[test]
    fn targets_come_and_stay_and_former_ones_wait() {
        use TargetHealthStateEnum::{Draining, Healthy, Unhealthy};
        let of = |standing: &[(&str, i32, TargetHealthStateEnum)]| {
            let standing: Vec<Target> =
                standing.iter().map(|(id, port, state)| target(id, *port, state.clone(), "")).collect();
            let difference = differ(&Environment::example(), &standing);
            let rows: Vec<_> = difference.steps().into_iter().map(|step| (step.id.unwrap(), step.outcome)).collect();
            let Difference { healthy, former, .. } = difference;
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
