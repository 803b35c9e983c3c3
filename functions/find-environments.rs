//! Finds what the night takes down: all environments of the stack. Each that is spared says why. Those that cost are found by
//! their load balancers alone, whatever AWS does not tell of the others.

use std::collections::BTreeMap;
use std::time::SystemTime;

use albatross::error::{Error, Result};
use albatross::price::{self, Rate};
use albatross::resource::{load_balancer, security_group};
use albatross::schedule::night::{self, Input, Mail, Standing};
use albatross::spec::input;
use albatross::{aws, lambda};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    input: Value,
    /// The mail is sent already.
    noticed: bool,
    /// ARN of the execution.
    run: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    environments: Vec<Standing>,
    /// Why environments that have no load balancer any more are not known, where AWS refuses to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
    /// What goes costs so much.
    saves: Rate,
    dry_run: bool,
    /// Where the input asks for one, something goes, and none is sent yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<Mail>,
}

struct Clients {
    ec2: aws_sdk_ec2::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    region: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        region: aws::region(&config),
    };
    lambda::run(async |event: Event| find(&clients, event).await).await
}

async fn find(clients: &Clients, event: Event) -> Result<Answer> {
    let Input { dry_run, warn } = input::parse(event.input)?;
    let stack = lambda::stack();
    let (mut environments, unknown) = standing(clients, &stack).await?;
    // A night that acts looks at each in its own teardown.
    if dry_run || warn && !event.noticed {
        spare_protected(&clients.elb, &mut environments).await?;
    }
    let going = environments.iter().filter(|one| one.spared.is_none());
    Ok(Answer {
        saves: Rate::of(going.map(|one| one.hourly).sum()),
        notice: (warn && !dry_run && !event.noticed)
            .then(|| night::notice(&stack, &event.run, SystemTime::now(), &environments))
            .flatten(),
        environments,
        unknown,
        dry_run,
    })
}

/// By name: by the load balancer, which is what costs, and by the security group, which is there as long as anything is. And
/// why those of the second kind are not known, where AWS refuses to tell.
async fn standing(clients: &Clients, stack: &str) -> Result<(Vec<Standing>, Option<String>)> {
    let (fronts, groups) =
        tokio::join!(load_balancer::of_stack(&clients.elb, stack), security_group::tagged(&clients.ec2, stack, None));
    let fronts = fronts?;
    let (groups, unknown) = match groups {
        Err(error @ Error::AwsRefused(_)) => (vec![], Some(error.to_string())),
        groups => (groups?, None),
    };
    let groups = groups.iter().map(|group| Standing::tagged(&group.tags));
    let fronts = fronts.into_iter().map(|front| Standing {
        hourly: price::load_balancer(&clients.region, front.zones),
        load_balancer: Some(front.arn),
        ..Standing::tagged(&front.tags)
    });
    // A load balancer knows more than its group.
    let by_name: BTreeMap<String, Standing> = groups.chain(fronts).map(|one| (one.name.clone(), one)).collect();
    Ok((by_name.into_values().collect(), unknown))
}

/// Spares those whose load balancer deletion protection keeps, some at a time, as each takes a call.
async fn spare_protected(elb: &aws_sdk_elasticloadbalancingv2::Client, environments: &mut [Standing]) -> Result<()> {
    const AT_ONCE: usize = 5;
    for some in environments.chunks_mut(AT_ONCE) {
        let looks = some.iter().map(async |one| match &one.load_balancer {
            Some(arn) if one.spared.is_none() => load_balancer::is_protected(elb, arn).await,
            _ => Ok(false),
        });
        let looks = join_all(looks).await;
        for (one, is_protected) in some.iter_mut().zip(looks) {
            // Where AWS does not tell, it refuses to delete one that is.
            let is_protected = match is_protected {
                Err(Error::AwsRefused(_)) => false,
                is_protected => is_protected?,
            };
            if is_protected {
                one.spared = Some("deletion protection is on at its load balancer".into());
            }
        }
    }
    Ok(())
}
