//! Starts the instances that a night has stopped, by their user's consent, so that their environment can come back.

use albatross::environment::Input;
use albatross::error::{Error, Result};
use albatross::instance::{self, Wake};
use albatross::{aws, lambda};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    /// Of the provision that is to follow.
    input: Value,
}

#[derive(Serialize)]
struct Answer {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let ec2 = aws_sdk_ec2::Client::new(&aws::config());
    lambda::run(async |event: Event| start(&ec2, event).await).await
}

async fn start(ec2: &aws_sdk_ec2::Client, event: Event) -> Result<Answer> {
    let input = Input::parse(event.input)?;
    let found = instance::find(ec2, &input.instances.into_iter().collect()).await?;
    let Wake { start, mut wait } = Wake::of(&found);
    if !start.is_empty() {
        instance::start(ec2, &start).await?;
        wait.extend(start.iter().map(|id| format!("{id} was stopped")));
    }
    if wait.is_empty() { Ok(Answer {}) } else { Err(Error::InstancesStarting(wait.join(", "))) }
}
