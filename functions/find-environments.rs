//! Finds what the night takes down: all environments of the stack, each with why it is spared, if it is. Those that cost are
//! found by their load balancers alone, so that they go even where AWS refuses to list the others.

use std::collections::BTreeMap;
use std::time::SystemTime;

use albatross::error::{Error, Result};
use albatross::price::{self, Rate};
use albatross::resource::{load_balancer, security_group};
use albatross::schedule::night::{self, Mail, NightInput, Standing};
use albatross::spec::input;
use albatross::{aws, lambda};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    input: Value,
    /// Whether the mail has been sent already.
    noticed: bool,
    /// ARN of the execution.
    run: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    environments: Vec<Standing>,
    /// What AWS said where it refuses to list environments that have no load balancer any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
    /// What everything that goes costs.
    saves: Rate,
    dry_run: bool,
    /// The mail to send, where the input asks for one, something goes, and none has been sent yet.
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
    let NightInput { dry_run, warn } = input::parse(event.input)?;
    let stack = lambda::stack();
    let (mut environments, unknown) = standing(clients, &stack).await?;
    // Where the night acts, the teardown of each environment looks for protection itself.
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

/// Lists the stack's environments, sorted by name. A load balancer leads to those that cost, and a security group to all, as
/// it is deleted last. Returns beside them what AWS said, where it refuses to list the groups.
async fn standing(clients: &Clients, stack: &str) -> Result<(Vec<Standing>, Option<String>)> {
    let (load_balancers, groups) =
        tokio::join!(load_balancer::of_stack(&clients.elb, stack), security_group::tagged(&clients.ec2, stack, None));
    let load_balancers = load_balancers?;
    let (groups, unknown) = match groups {
        Err(error @ Error::AwsRefused(_)) => (vec![], Some(error.to_string())),
        groups => (groups?, None),
    };
    let groups = groups.iter().map(|group| Standing::tagged(&group.tags));
    let load_balancers = load_balancers.into_iter().map(|one| Standing {
        hourly: price::load_balancer(&clients.region, one.zones),
        load_balancer: Some(one.arn),
        ..Standing::tagged(&one.tags)
    });
    // Of two entries of one name the last wins: the load balancer's, which has the price.
    let by_name: BTreeMap<String, Standing> = groups.chain(load_balancers).map(|one| (one.name.clone(), one)).collect();
    Ok((by_name.into_values().collect(), unknown))
}

/// Spares environments whose load balancer has deletion protection on. Each takes a call, so only some are in flight at once.
async fn spare_protected(elb: &aws_sdk_elasticloadbalancingv2::Client, environments: &mut [Standing]) -> Result<()> {
    const AT_ONCE: usize = 5;
    for some in environments.chunks_mut(AT_ONCE) {
        let looks = some.iter().map(async |one| match &one.load_balancer {
            Some(arn) if one.spared.is_none() => load_balancer::is_protected(elb, arn).await,
            _ => Ok(false),
        });
        let looks = join_all(looks).await;
        for (one, is_protected) in some.iter_mut().zip(looks) {
            // Where AWS refuses to tell, the teardown finds out: AWS deletes none that is protected.
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
