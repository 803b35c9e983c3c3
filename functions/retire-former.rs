//! Takes away what the environment has used before and uses no more, now that what is wanted has proved to serve: targets,
//! rules that admit the load balancer, zones.

use albatross::error::{Error, Result};
use albatross::resource::former::Former;
use albatross::resource::load_balancer;
use albatross::resource::{security_group, target_group};
use albatross::spec::environment::Environment;
use albatross::spec::ids::LoadBalancerIds;
use albatross::step::Step;
use albatross::{aws, lambda};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    environment: Environment,
    load_balancer: LoadBalancerIds,
    target_group_arn: String,
    /// As create-alb found it.
    former: Former,
}

#[derive(Serialize)]
struct Answer {
    steps: Vec<Step>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let (ec2, elb) = (aws_sdk_ec2::Client::new(&config), aws_sdk_elasticloadbalancingv2::Client::new(&config));
    lambda::run(async |event: Event| retire(&ec2, &elb, &event).await).await
}

async fn retire(
    ec2: &aws_sdk_ec2::Client,
    elb: &aws_sdk_elasticloadbalancingv2::Client,
    event: &Event,
) -> Result<Answer> {
    let Event { environment, load_balancer, target_group_arn, former } = event;
    let Former { targets, rules, zones } = former;
    let in_use = target_group::retire(elb, target_group_arn, targets).await?;
    if in_use && !(rules.is_empty() && zones.is_empty()) {
        let left = targets.iter().map(|target| format!("{} on port {}", target.id, target.port));
        return Err(Error::TargetsLeaving(left.collect::<Vec<_>>().join(", ")));
    }
    let zones = async {
        match zones.is_empty() {
            true => Ok(()),
            false => load_balancer::leave_zones(elb, environment, &load_balancer.arn).await,
        }
    };
    // All to their end, whatever one of them says.
    let rules = join_all(rules.iter().map(|former| security_group::close(ec2, &former.rule)));
    let (closed, left) = tokio::join!(rules, zones);
    closed.into_iter().collect::<Result<()>>()?;
    left?;
    Ok(Answer { steps: former.steps() })
}
