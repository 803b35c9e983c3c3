//! Removes what the environment has used before and uses no more, now that what is wanted has proved to serve: targets,
//! rules that admit the load balancer, zones.

use albatross::error::Result;
use albatross::provision::former::Former;
use albatross::spec::environment::Environment;
use albatross::spec::ids::LoadBalancerIds;
use albatross::step::Step;
use albatross::{aws, lambda};
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
    former.apply(ec2, elb, environment, &load_balancer.arn, target_group_arn).await?;
    Ok(Answer { steps: former.steps() })
}
