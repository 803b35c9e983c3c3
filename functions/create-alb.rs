//! Makes the load balancer with its security group, target group, targets and HTTP listener, and the rule in the
//! instances' own groups that admits it. It adds alone to what serves: what is former goes when the new has proved to
//! serve, in retire-former.

use albatross::error::Result;
use albatross::resource::former::Former;
use albatross::resource::listener::{self, Listeners};
use albatross::resource::load_balancer;
use albatross::resource::seen::Seen;
use albatross::resource::target_group::Registered;
use albatross::resource::{security_group, target_group};
use albatross::spec::environment::Environment;
use albatross::spec::ids::LoadBalancerIds;
use albatross::step::{Outcome, Step};
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
    // Names that are somebody else's show before anything is made.
    let (found, group) =
        tokio::try_join!(load_balancer::find(elb, environment), security_group::known(ec2, environment, seen))?;
    let found_front = found.front.as_ref();
    let active = found_front.is_some_and(|(front, _)| load_balancer::is_active(front));
    // First and alone: where the group stands an environment stands, whole or in part, and is found.
    let group = match group {
        Some(group) => group,
        None => security_group::ensure(ec2, environment).await?,
    };
    // All to their end: a call that is dropped on its way may still be carried out, beside the rollback.
    let (front, targets, group_step, open_steps) = tokio::join!(
        load_balancer::ensure(elb, environment, &group.id, found_front),
        target_group::ensure(elb, environment, seen, found.targets),
        security_group::settle(ec2, environment, seen, &group),
        security_group::open(ec2, environment, &group),
    );
    let (front, (targets, targets_step), group_step, open_steps) = (front?, targets?, group_step?, open_steps?);
    let new_targets = targets_step.outcome == Outcome::Created;
    let (front_step, registered, http) = tokio::join!(
        load_balancer::settle(elb, environment, seen, &front.arn, &group.id, found_front),
        target_group::register(elb, environment, seen, &targets, new_targets),
        listener::ensure_http(elb, environment, seen, &front.arn, &targets, found_front.is_none()),
    );
    let (front_step, (listeners, http_step)) = (front_step?, http?);
    let Registered { steps: target_steps, healthy, former } = registered?;
    let former_zones = found_front.map(|(front, _)| load_balancer::former_zones(environment, seen, front));
    let former = Former::of(former, group.former_rules(environment), former_zones.unwrap_or_default());
    let mut steps = vec![group_step, targets_step, front_step, http_step];
    steps.extend(open_steps.into_iter().chain(target_steps));
    Ok(Answer {
        load_balancer: front,
        active,
        healthy,
        target_group_arn: targets,
        security_group_id: group.id,
        listeners,
        former,
        steps,
    })
}
