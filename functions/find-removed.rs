//! Finds what the morning brings back: environments whose load balancer a night took and that nobody has touched since, each
//! with its last provision.

use std::collections::BTreeSet;
use std::time::SystemTime;

use albatross::error::Result;
use albatross::kind::Kind;
use albatross::resource::execution::{self, Ending, Executions, Past, Wish};
use albatross::resource::{load_balancer, tags};
use albatross::schedule::morning::{Away, Meant, REMEMBERED, Return, Started};
use albatross::spec::input::Returned;
use albatross::spec::teardown_input::TeardownInput;
use albatross::spec::{input, names};
use albatross::teardown::{Item, ItemOutcome};
use albatross::{aws, lambda};
use aws_sdk_sfn as sfn;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize)]
struct Answer {
    environments: Vec<Return>,
}

/// The fields of a teardown's answer that decide here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TornDown {
    items: Vec<Item>,
    put_back: Vec<Returned>,
}

impl TornDown {
    fn took_load_balancer(&self) -> bool {
        self.items.iter().any(|item| item.resource == Kind::LoadBalancer && item.outcome == Some(ItemOutcome::Done))
    }
}

struct Clients {
    elb: aws_sdk_elasticloadbalancingv2::Client,
    sfn: sfn::Client,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let clients = Clients { elb: aws_sdk_elasticloadbalancingv2::Client::new(&config), sfn: sfn::Client::new(&config) };
    lambda::run(async |_: Value| find(&clients).await).await
}

async fn find(Clients { elb, sfn }: &Clients) -> Result<Answer> {
    let stack = lambda::stack();
    let (nightly, morning) = (lambda::machine("NIGHTLY_MACHINE"), lambda::machine("MORNING_MACHINE"));
    let (standing, nights, mornings) =
        tokio::try_join!(load_balancer::of_stack(elb, &stack), names(sfn, &nightly), names(sfn, &morning))?;
    let standing = standing.iter().filter_map(|found| found.tags.get(tags::ENVIRONMENT)).collect();
    let mut away = away(sfn, &Started::by_nights(nights), &standing).await?;
    let mornings = Started::by_mornings(mornings);
    let machine = lambda::machine("PROVISION_MACHINE");
    let mut provisions = Executions::successful(sfn, &machine);
    let mut environments = vec![];
    while !away.is_empty()
        && let Some(past) = provisions.next().await?
    {
        // Mornings start most provisions of a fleet, and the name of such an execution mostly tells enough.
        let known = mornings.environment(&past.name).filter(|name| !away.needs_domain(name));
        let (name, domain) = match known {
            Some(name) => (Some(name.to_owned()), None),
            None => {
                let wish = provisioned(sfn, &past).await?;
                (wish.as_ref().map(|wish| wish.name.clone()), wish.map(|wish| wish.domain))
            }
        };
        environments.extend(name.and_then(|name| away.provisioned(&name, domain.as_deref(), &past.arn, past.start)));
    }
    environments.sort_by(|one: &Return, other| one.name.cmp(&other.name));
    let mut returning = vec![];
    for one in environments {
        match execution::output::<TornDown>(sfn, &one.teardown).await? {
            // Somebody else took it down while the night waited for its turn.
            Some(down) if !down.took_load_balancer() => {}
            down => returning.push(Return { put_back: down.unwrap_or_default().put_back, ..one }),
        }
    }
    Ok(Answer { environments: returning })
}

/// Lists the names of a machine's executions in the time that is remembered.
async fn names(sfn: &sfn::Client, machine: &str) -> Result<Vec<String>> {
    let (since, mut names) = (SystemTime::now() - REMEMBERED, vec![]);
    let mut executions = Executions::all(sfn, machine);
    while let Some(past) = executions.next().await?
        && past.start >= since
    {
        names.push(past.name);
    }
    Ok(names)
}

/// Collects the teardowns of the time that is remembered, however they ended; `standing` are the environments that have a
/// load balancer.
async fn away(sfn: &sfn::Client, nights: &Started, standing: &BTreeSet<&str>) -> Result<Away> {
    let since = SystemTime::now() - REMEMBERED;
    let machine = lambda::machine("TEARDOWN_MACHINE");
    let mut teardowns = Executions::all(sfn, &machine);
    let mut away = Away::default();
    while let Some(past) = teardowns.next().await?
        && past.start >= since
    {
        match nights.environment(&past.name) {
            Some(name) if standing.contains(name) || past.ending == Ending::Running => {}
            Some(name) if past.ending == Ending::Succeeded || !execution::was_busy(sfn, &past.arn).await? => {
                away.removed(name, past.start, &past.arn);
            }
            Some(_) => {}
            None => {
                if let Some(meant) = torn_down(sfn, &past).await? {
                    away.torn_down(meant, past.start);
                }
            }
        }
    }
    Ok(away)
}

/// Reads which environment somebody meant to take down; `None` where the teardown was to take nothing down, or was nobody's
/// wish.
async fn torn_down(sfn: &sfn::Client, past: &Past) -> Result<Option<Meant>> {
    let Some(text) = execution::input(sfn, &past.arn).await? else { return Ok(None) };
    let input = serde_json::from_str(&text).ok().and_then(|input| input::parse::<TeardownInput>(input).ok());
    let wishes = |input: &TeardownInput| !input.own_only && !input.dry_run && input.night.is_none();
    Ok(input
        .filter(wishes)
        .map(|input| Meant { domain: input.domain.and_then(|domain| names::domain(&domain).ok()), name: input.name }))
}

/// Reads what a successful provision's input wished for.
async fn provisioned(sfn: &sfn::Client, past: &Past) -> Result<Option<Wish>> {
    Ok(execution::input(sfn, &past.arn).await?.as_deref().and_then(Wish::of_accepted))
}
