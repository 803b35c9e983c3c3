//! The target group: where the load balancer sends requests, and how it checks the instances' health.

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{Matcher, ProtocolEnum, TargetGroup, TargetTypeEnum};

use super::seen::Seen;
use super::tags::{self, Tags};
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::spec::environment::Environment;
use crate::spec::ids::TargetGroupIds;
use crate::spec::names;
use crate::step::{Outcome, Step, change};

/// Finds the target group of this environment's name, whosever it is.
pub async fn named(client: &elb::Client, environment: &str) -> Result<Option<TargetGroup>> {
    let answer = client
        .describe_target_groups()
        .names(names::target_group(environment))
        .send()
        .await
        .call("elasticloadbalancing:DescribeTargetGroups")
        .unless(&["TargetGroupNotFound"])?;
    Ok(answer.and_then(|answer| answer.target_groups.unwrap_or_default().into_iter().next()))
}

/// Finds the target group of the environment's name.
///
/// # Errors
/// [`Error::NotOurs`].
pub async fn find(client: &elb::Client, environment: &Environment) -> Result<Option<TargetGroup>> {
    let Some(found) = named(client, &environment.name).await? else { return Ok(None) };
    let arn = found.target_group_arn().unwrap_or_default();
    let tags = tags::by_arn(client, &[arn.to_owned()]).await?.remove(arn).unwrap_or_default();
    tags.check(environment, Kind::TargetGroup, arn)?;
    Ok(Some(found))
}

/// How the target group differs from the environment's wish; its targets are a matter of [`target`](super::target).
#[derive(Debug)]
pub struct Difference {
    row: Step,
}

pub fn differ(environment: &Environment, found: Option<&TargetGroup>) -> Difference {
    let Some(group) = found else { return Difference { row: Step::missing(Kind::TargetGroup) } };
    let check = &environment.input.health_check;
    let matcher = group.matcher().and_then(|matcher| matcher.http_code());
    let changes = [
        change("health check path", group.health_check_path(), &check.path),
        change("health check interval", group.health_check_interval_seconds(), check.interval_seconds),
        change("health check timeout", group.health_check_timeout_seconds(), check.timeout_seconds),
        change("healthy threshold", group.healthy_threshold_count(), check.healthy_threshold),
        change("unhealthy threshold", group.unhealthy_threshold_count(), check.unhealthy_threshold),
        change("health check matcher", matcher, &check.matcher),
    ];
    Difference { row: Step::settled(Kind::TargetGroup, group.target_group_arn(), changes.into_iter().flatten()) }
}

impl Difference {
    pub fn step(&self) -> Step {
        self.row.clone()
    }

    /// Creates the group, or changes its health check. Returns its ARN.
    pub async fn apply(&mut self, client: &elb::Client, environment: &Environment, seen: &Seen) -> Result<String> {
        let Some(arn) = self.row.id.clone() else {
            let arn = create(client, environment).await?;
            self.row.id = Some(arn.clone());
            return Ok(arn);
        };
        if self.row.outcome == Outcome::Changed {
            set_health_check(client, environment, &arn).await.authorised_late(!seen.complete)?;
        }
        Ok(arn)
    }
}

async fn create(client: &elb::Client, environment: &Environment) -> Result<String> {
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
    group.and_then(|group| group.target_group_arn).ok_or_else(|| {
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

/// A target group with its tags, as teardown sees it.
#[derive(Debug, Clone)]
pub struct Tagged {
    pub ids: TargetGroupIds,
    pub tags: Tags,
}

impl Tagged {
    pub fn of(described: &TargetGroup, tags: Tags) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Tagged { ids: TargetGroupIds { arn: text(described.target_group_arn()), vpc: text(described.vpc_id()) }, tags }
    }
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
        assert_eq!(differ(&environment, Some(&found)).step(), Step::new(Kind::TargetGroup, "arn", Outcome::Found));
        let other = as_wanted.health_check_path("/").set_matcher(None).build();
        assert_eq!(
            differ(&environment, Some(&other)).step().changes,
            ["health check path: / → /health", "health check matcher: none → 200"]
        );
        assert_eq!(differ(&environment, None).step(), Step::missing(Kind::TargetGroup));
    }
}
