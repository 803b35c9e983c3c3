//! Finds what the morning brings back: what nights have removed and nobody has touched since, with its last provision.

use std::time::SystemTime;

use albatross::error::Result;
use albatross::execution::{self, Past, Successes, Wish};
use albatross::morning::{self, Away, REMEMBERED, Return};
use albatross::teardown::Input;
use albatross::{aws, environment, inventory, lambda};
use aws_sdk_sfn as sfn;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct Answer {
    environments: Vec<Return>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let client = sfn::Client::new(&aws::config());
    lambda::run(async |_: Value| find(&client).await).await
}

async fn find(client: &sfn::Client) -> Result<Answer> {
    let mut away = away(client).await?;
    let machine = lambda::machine("PROVISION_MACHINE");
    let mut provisions = Successes::of(client, &machine);
    let mut environments = vec![];
    while !away.is_empty()
        && let Some(past) = provisions.next().await?
    {
        // Of what mornings have started, which is most of a fleet, the name tells enough.
        let name = match morning::environment(&past.name) {
            Some(name) => Some(name.to_owned()),
            None => provisioned(client, &past).await?,
        };
        environments.extend(name.and_then(|name| away.provisioned(&name, &past.arn, past.start)));
    }
    environments.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Answer { environments })
}

/// What became of environments in the time that is remembered.
async fn away(client: &sfn::Client) -> Result<Away> {
    let since = SystemTime::now() - REMEMBERED;
    let machine = lambda::machine("TEARDOWN_MACHINE");
    let mut teardowns = Successes::of(client, &machine);
    let mut away = Away::default();
    while let Some(past) = teardowns.next().await?
        && past.start >= since
    {
        match morning::environment(&past.name) {
            Some(name) => away.removed(name, past.start),
            None => {
                if let Some((name, input)) = torn_down(client, &past).await? {
                    away.torn_down(name, &input, past.start);
                }
            }
        }
    }
    Ok(away)
}

/// The environment that a teardown's input names.
async fn torn_down(client: &sfn::Client, past: &Past) -> Result<Option<(String, Input)>> {
    let Some(text) = execution::input(client, &past.arn).await? else { return Ok(None) };
    let input = serde_json::from_str(&text).ok().and_then(|input| environment::parse::<Input>(input).ok());
    Ok(input.and_then(|input| Some((inventory::identify(lambda::stack(), &input).ok()?.name, input))))
}

/// The environment that a provision's input names.
async fn provisioned(client: &sfn::Client, past: &Past) -> Result<Option<String>> {
    Ok(execution::input(client, &past.arn).await?.as_deref().and_then(Wish::of).map(|wish| wish.name))
}
