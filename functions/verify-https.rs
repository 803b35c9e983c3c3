//! Proves that the environment serves: load balancer active, targets healthy, then real requests through it.

use albatross::error::Result;
use albatross::resource::load_balancer;
use albatross::resource::probe::{self, Check};
use albatross::resource::seen::Seen;
use albatross::resource::target;
use albatross::spec::environment::Environment;
use albatross::spec::ids::LoadBalancerIds;
use albatross::{aws, lambda};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    environment: Environment,
    seen: Seen,
    load_balancer: LoadBalancerIds,
    /// As create-alb found them: then they need not be asked for again.
    active: bool,
    healthy: bool,
    target_group_arn: String,
}

#[derive(Serialize)]
struct Answer {
    checks: Vec<Check>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&aws::config());
    lambda::run(async |event: Event| verify(&elb, &event).await).await
}

async fn verify(elb: &aws_sdk_elasticloadbalancingv2::Client, event: &Event) -> Result<Answer> {
    let Event { environment, seen, load_balancer, active, healthy, target_group_arn } = event;
    if !active {
        load_balancer::check_active(elb, &load_balancer.arn).await?;
    }
    if !healthy {
        target::check_health(elb, environment, seen, target_group_arn).await?;
    }
    let mut checks = vec![
        Check::passed("load balancer active", &load_balancer.arn),
        Check::passed("targets healthy", format!("{} of {}", environment.targets.len(), environment.targets.len())),
    ];
    checks.extend(probe::run(environment, load_balancer).await?);
    Ok(Answer { checks })
}
