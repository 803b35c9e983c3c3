//! Executions: the event of an ended provision, what it wished for, and whether one still runs.

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_sdk_sfn as sfn;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sfn::operation::describe_execution::DescribeExecutionOutput;
use sfn::primitives::DateTime;
use sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};

use crate::error::{Call, Codes, Error, Result};
use crate::price::Usage;
use crate::spec::input::{Input, Mode, OnFailure};
use crate::spec::names;

/// `detail` of a "Step Functions Execution Status Change" (Step Functions developer guide, EventBridge events).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    pub execution_arn: String,
    pub state_machine_arn: String,
    pub status: String,
    /// The execution's input, a JSON text; absent where it is too large for an event.
    pub input: Option<String>,
}

/// The provision whose end an event tells of; `None` for the nightly schedule's event or any other input.
pub fn ended(event: &Value) -> Option<Ended> {
    let event = EventBridgeEvent::<Ended>::deserialize(event).ok()?;
    (event.source == "aws.states").then_some(event.detail)
}

/// What a provision execution's input says of its environment; `None` where it was refused as bad input, or was just to
/// plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub name: String,
    pub domain: String,
    pub hosted_zone_id: Option<String>,
    pub on_failure: OnFailure,
}

impl Wish {
    /// Reads the input of any provision; `None` where it is refused as bad input, as such a provision has changed nothing.
    pub fn of(input: &str) -> Option<Wish> {
        Input::parse(serde_json::from_str(input).ok()?).ok()?;
        Wish::of_accepted(input)
    }

    /// Reads the input of a provision that succeeded, and so was accepted. An earlier version of the stack may have accepted
    /// what this one refuses, so no other field is looked at.
    pub fn of_accepted(input: &str) -> Option<Wish> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Accepted {
            domain: String,
            name: Option<String>,
            hosted_zone_id: Option<String>,
            #[serde(default)]
            on_failure: OnFailure,
            #[serde(default)]
            mode: Mode,
        }
        let accepted: Accepted = serde_json::from_str(input).ok()?;
        let Accepted { domain, name, hosted_zone_id, on_failure, mode } = accepted;
        let domain = names::domain(&domain).ok()?;
        let name = name.unwrap_or_else(|| names::default(&domain));
        (mode == Mode::Apply).then_some(Wish { name, domain, hosted_zone_id, on_failure })
    }
}

async fn describe(client: &sfn::Client, arn: &str) -> Result<Option<DescribeExecutionOutput>> {
    let answer = client.describe_execution().execution_arn(arn).send().await.call("states:DescribeExecution");
    answer.unless(&["ExecutionDoesNotExist"])
}

/// What the ended provision wished for.
pub async fn wish(client: &sfn::Client, ended: &Ended) -> Result<Option<Wish>> {
    let text = match &ended.input {
        Some(text) => Some(text.clone()),
        None => input(client, &ended.execution_arn).await?,
    };
    Ok(text.as_deref().and_then(Wish::of))
}

/// Whether an execution of this stack's machines runs, as far as can be told.
pub async fn may_run(client: &sfn::Client, arn: &str) -> Result<bool> {
    match describe(client, arn).await {
        Ok(found) => Ok(found.is_some_and(|found| found.status == ExecutionStatus::Running)),
        // Of another stack or region, which this one may not ask about.
        Err(Error::AwsRefused(_)) => Ok(true),
        Err(other) => Err(other),
    }
}

/// When a machine's last execution began; of a machine that never ran, when it was made.
pub async fn last_start(client: &sfn::Client, machine: &str) -> Result<SystemTime> {
    let (described, listed) = tokio::join!(
        client.describe_state_machine().state_machine_arn(machine).send(),
        client.list_executions().state_machine_arn(machine).max_results(1).send(),
    );
    let made = moment(described.call("states:DescribeStateMachine")?.creation_date());
    let listed = listed.call("states:ListExecutions")?;
    Ok(listed.executions().first().map_or(made, |last| moment(last.start_date())))
}

fn moment(date: &DateTime) -> SystemTime {
    SystemTime::try_from(*date).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// How an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Running,
    Succeeded,
    /// Failed, timed out or stopped.
    Failed,
}

impl From<&ExecutionStatus> for Ending {
    fn from(status: &ExecutionStatus) -> Self {
        match status {
            ExecutionStatus::Succeeded => Ending::Succeeded,
            ExecutionStatus::Running | ExecutionStatus::PendingRedrive => Ending::Running,
            _ => Ending::Failed,
        }
    }
}

/// A machine's executions, the newest first; their pages are asked for one by one.
pub struct Executions<'a> {
    client: &'a sfn::Client,
    machine: &'a str,
    only: Option<ExecutionStatus>,
    page: VecDeque<Past>,
    token: Option<String>,
    ended: bool,
}

/// An execution of a list.
#[derive(Debug, Clone)]
pub struct Past {
    pub arn: String,
    pub name: String,
    pub start: SystemTime,
    pub ending: Ending,
}

impl<'a> Executions<'a> {
    pub fn all(client: &'a sfn::Client, machine: &'a str) -> Self {
        Executions { client, machine, only: None, page: VecDeque::new(), token: None, ended: false }
    }

    pub fn successful(client: &'a sfn::Client, machine: &'a str) -> Self {
        Executions { only: Some(ExecutionStatus::Succeeded), ..Executions::all(client, machine) }
    }

    pub async fn next(&mut self) -> Result<Option<Past>> {
        while self.page.is_empty() && !self.ended {
            let call = self.client.list_executions().state_machine_arn(self.machine).max_results(1000);
            let call = call.set_status_filter(self.only.clone()).set_next_token(self.token.take());
            let answer = call.send().await.call("states:ListExecutions")?;
            self.page.extend(answer.executions().iter().map(|listed| Past {
                arn: listed.execution_arn().into(),
                name: listed.name().into(),
                start: moment(listed.start_date()),
                ending: listed.status().into(),
            }));
            self.ended = answer.next_token().is_none();
            self.token = answer.next_token;
        }
        Ok(self.page.pop_front())
    }
}

/// Whether an execution ended as another worked on its environment, and so did nothing.
pub async fn was_busy(client: &sfn::Client, arn: &str) -> Result<bool> {
    Ok(describe(client, arn).await?.is_some_and(|found| found.error() == Some("EnvironmentBusy")))
}

/// An execution's input; `None` where it is gone, as 90 days after its end.
pub async fn input(client: &sfn::Client, arn: &str) -> Result<Option<String>> {
    Ok(describe(client, arn).await?.and_then(|found| found.input))
}

/// A successful execution's output; `None` of another, or where it is not of this shape.
pub async fn output<T: DeserializeOwned>(client: &sfn::Client, arn: &str) -> Result<Option<T>> {
    let found = describe(client, arn).await?.filter(|found| found.status == ExecutionStatus::Succeeded);
    let output = found.and_then(|found| found.output);
    Ok(output.and_then(|text| serde_json::from_str(&text).ok()))
}

/// What an execution has used so far, from its history.
pub async fn usage(client: &sfn::Client, arn: &str) -> Result<Usage> {
    let call = client.get_execution_history().execution_arn(arn).include_execution_data(false).max_results(1000);
    let mut pages = call.into_paginator().send();
    let mut tally = Tally::default();
    while let Some(page) = pages.next().await {
        page.call("states:GetExecutionHistory")?.events().iter().for_each(|event| tally.add(event));
    }
    Ok(tally.usage(DateTime::from(SystemTime::now())))
}

/// Transitions and invocations, counted event by event.
#[derive(Debug, Default)]
struct Tally {
    states: u64,
    tasks: u64,
    /// One at the entry of a task's state, and one for each retry.
    attempts: u64,
    invocations: u64,
    milliseconds: i64,
    /// Starts of invocations that have not ended, in milliseconds, by the id of their last event.
    running: HashMap<i64, i64>,
}

impl Tally {
    fn add(&mut self, event: &HistoryEvent) {
        use HistoryEventType::{TaskFailed, TaskScheduled, TaskStarted, TaskStateEntered, TaskSucceeded, TaskTimedOut};
        let at = millis(event.timestamp());
        match event.r#type() {
            TaskStateEntered => self.tasks += 1,
            TaskScheduled => {
                self.attempts += 1;
                let of_lambda = |details: &&sfn::types::TaskScheduledEventDetails| details.resource_type() == "lambda";
                if event.task_scheduled_event_details().filter(of_lambda).is_some() {
                    self.invocations += 1;
                    self.running.insert(event.id(), at);
                }
            }
            TaskStarted => {
                let scheduled = self.running.remove(&event.previous_event_id());
                self.running.extend(scheduled.map(|_| (event.id(), at)));
            }
            TaskSucceeded | TaskFailed | TaskTimedOut => {
                if let Some(started) = self.running.remove(&event.previous_event_id()) {
                    self.milliseconds += at - started;
                }
            }
            other if other.as_str().ends_with("StateEntered") => self.states += 1,
            _ => {}
        }
    }

    /// With what runs `now`: the function that asks.
    fn usage(&self, now: DateTime) -> Usage {
        let running: i64 = self.running.values().map(|started| millis(&now) - started).sum();
        Usage {
            transitions: self.states + self.tasks.max(self.attempts),
            invocations: self.invocations,
            milliseconds: u64::try_from(self.milliseconds + running).unwrap_or_default(),
        }
    }
}

fn millis(moment: &DateTime) -> i64 {
    moment.to_millis().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sfn::types::TaskScheduledEventDetails;

    #[test]
    fn only_an_ended_execution_is_one() {
        let detail = json!({
            "executionArn": "arn:aws:states:us-east-1:1:execution:provision:x", "stateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:provision",
            "name": "x", "status": "ABORTED", "input": "{\"domain\": \"api.example.com\", \"instances\": [\"i-0abc1234def567890\"], \"onFailure\": \"keep\"}",
        });
        let event = |source: &str, detail: Value| {
            json!({
                "version": "0", "id": "1", "detail-type": "Step Functions Execution Status Change", "source": source,
                "account": "1", "time": "2026-11-24T00:00:00Z", "region": "us-east-1", "resources": [], "detail": detail,
            })
        };
        let ended_one = ended(&event("aws.states", detail)).unwrap();
        let wish = Wish::of(&ended_one.input.unwrap()).unwrap();
        assert_eq!((wish.name.as_str(), wish.on_failure), ("api-example-com", OnFailure::Keep));
        assert!(ended(&event("aws.events", json!({}))).is_none());
        assert!(ended(&json!({})).is_none());
        assert!(Wish::of("{\"domain\": \"*\"}").is_none());
        let plan = "{\"domain\": \"api.example.com\", \"instances\": [\"i-0abc1234def567890\"], \"mode\": \"plan\"}";
        assert!(Wish::of(plan).is_none());
    }

    #[test]
    fn what_an_earlier_version_accepted_is_known_where_it_succeeded() {
        let ranges: Vec<String> = (0..31).map(|n| format!("10.0.{n}.0/24")).collect();
        let input = json!({"domain": "API.example.com", "instances": ["i-0abc1234def567890"], "allowedCidrs": ranges,
            "hostedZoneId": "Z1", "onFailure": "keep", "aFieldOfOld": true});
        assert_eq!(Wish::of(&input.to_string()), None);
        let wish = Wish::of_accepted(&input.to_string()).unwrap();
        assert_eq!((wish.name.as_str(), wish.domain.as_str()), ("api-example-com", "api.example.com"));
        assert_eq!((wish.hosted_zone_id.as_deref(), wish.on_failure), (Some("Z1"), OnFailure::Keep));
        let plan = json!({"domain": "api.example.com", "mode": "plan", "aFieldOfOld": true});
        assert_eq!(Wish::of_accepted(&plan.to_string()), None);
    }

    #[test]
    fn a_retry_is_a_transition_and_each_invocation_takes_its_time() {
        use HistoryEventType::{
            ParallelStateEntered, TaskFailed, TaskScheduled, TaskStarted, TaskStateEntered, TaskSucceeded,
        };
        let event = |id: i64, previous: i64, kind: HistoryEventType, at: i64| {
            let scheduled = TaskScheduledEventDetails::builder().resource_type("lambda").resource("invoke");
            let scheduled = scheduled.region("us-east-1").parameters("{}").build().unwrap();
            HistoryEvent::builder()
                .id(id)
                .previous_event_id(previous)
                .set_task_scheduled_event_details((kind == TaskScheduled).then_some(scheduled))
                .r#type(kind)
                .timestamp(DateTime::from_millis(at))
                .build()
                .unwrap()
        };
        // Two branches, interleaved; the first fails once. The last invocation still runs.
        let events = [
            event(1, 0, ParallelStateEntered, 0),
            event(2, 1, TaskStateEntered, 0),
            event(3, 1, TaskStateEntered, 0),
            event(4, 2, TaskScheduled, 0),
            event(5, 3, TaskScheduled, 0),
            event(6, 4, TaskStarted, 10),
            event(7, 5, TaskStarted, 20),
            event(8, 6, TaskFailed, 110),
            event(9, 7, TaskSucceeded, 320),
            event(10, 8, TaskScheduled, 400),
            event(11, 10, TaskStarted, 410),
        ];
        let mut tally = Tally::default();
        events.iter().for_each(|event| tally.add(event));
        let usage = tally.usage(DateTime::from_millis(420));
        assert_eq!(usage, Usage { transitions: 4, invocations: 3, milliseconds: 100 + 300 + 10 });
    }
}
