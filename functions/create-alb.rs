//! Makes the load balancer with its security group, target group, targets and HTTP listener, and the rule in the
//! instances' own groups that admits it.

use albatross::error::Result;
use albatross::provision::base::{self, Base, Ids};
use albatross::provision::former::Former;
use albatross::resource::listener::Listeners;
use albatross::resource::seen::Seen;
use albatross::spec::environment::Environment;
use albatross::spec::ids::LoadBalancerIds;
use albatross::step::Step;
use albatross::{aws, lambda};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Event {
    environment: Environment,
    seen: Seen,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    load_balancer: LoadBalancerIds,
    /// It stood and served already, for verify-https.
    active: bool,
    /// Its targets stood and were healthy already, for verify-https.
    healthy: bool,
    target_group_arn: String,
    security_group_id: String,
    /// For add-https-listener.
    listeners: Listeners,
    /// For retire-former.
    #[serde(skip_serializing_if = "Option::is_none")]
    former: Option<Former>,
    steps: Vec<Step>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let (ec2, elb) = (aws_sdk_ec2::Client::new(&config), aws_sdk_elasticloadbalancingv2::Client::new(&config));
    lambda::run(async |event: Event| create(&ec2, &elb, &event.environment, &event.seen).await).await
}

async fn create(
    ec2: &aws_sdk_ec2::Client,
    elb: &aws_sdk_elasticloadbalancingv2::Client,
    environment: &Environment,
    seen: &Seen,
) -> Result<Answer> {
    let Base { ids, active, listeners, difference } = base::apply(ec2, elb, environment, seen).await?;
    let Ids { load_balancer, target_group, security_group } = ids;
    Ok(Answer {
        load_balancer,
        active,
        healthy: difference.targets.healthy,
        target_group_arn: target_group,
        security_group_id: security_group,
        listeners,
        former: difference.former(),
        steps: difference.steps(),
    })
}
