//! Batches of changes, which Route 53 carries out whole or not at all (API reference, ChangeResourceRecordSets).

use aws_sdk_route53 as route53;
use route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecordSet};
use serde::{Deserialize, Serialize};

use super::carried;
use crate::error::{Call, Error, Result};

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Edit {
    Delete(#[serde(with = "carried")] ResourceRecordSet),
    Create(#[serde(with = "carried")] ResourceRecordSet),
}

impl Edit {
    pub fn record(&self) -> &ResourceRecordSet {
        match self {
            Edit::Delete(record) | Edit::Create(record) => record,
        }
    }

    /// Returns the edit that takes this one back.
    pub fn undone(self) -> Edit {
        match self {
            Edit::Delete(record) => Edit::Create(record),
            Edit::Create(record) => Edit::Delete(record),
        }
    }
}

/// Leaves out the edits of records that are created and deleted again.
pub fn net(edits: Vec<Edit>) -> Vec<Edit> {
    let passing = |record: &ResourceRecordSet| {
        [Edit::Create(record.clone()), Edit::Delete(record.clone())].iter().all(|edit| edits.contains(edit))
    };
    let stays = |edit: &Edit| !matches!(edit, Edit::Create(record) | Edit::Delete(record) if passing(record));
    edits.iter().filter(|edit| stays(edit)).cloned().collect()
}

/// Carries out a batch: all of it or nothing. The comment names no resource, as a name may be as long as the 256 characters
/// that Route 53 takes (API reference, ChangeBatch); the records themselves say for which domain the batch is.
///
/// # Errors
/// [`Error::AwsUnavailable`] where a record has changed since it was read: the next try reads again.
pub async fn apply(client: &route53::Client, zone: &str, edits: &[Edit], comment: &'static str) -> Result<()> {
    let changes = edits.iter().map(|edit| {
        let (action, record) = match edit {
            Edit::Delete(record) => (ChangeAction::Delete, record),
            Edit::Create(record) => (ChangeAction::Create, record),
        };
        Change::builder().action(action).resource_record_set(record.clone()).build().expect("an action and a record")
    });
    let batch = ChangeBatch::builder().comment(comment).set_changes(Some(changes.collect())).build().expect("changes");
    let answer = client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await;
    match answer.call("route53:ChangeResourceRecordSets") {
        Err(Error::AwsRefused(refusal)) if says_changed(&refusal.message) => Err(Error::AwsUnavailable(refusal)),
        other => other.map(drop),
    }
}

/// Whether [`apply`] failed because a record has changed since it was read.
pub fn is_outdated(error: &Error) -> bool {
    matches!(error, Error::AwsUnavailable(refusal) if says_changed(&refusal.message))
}

/// Only the message tells these cases of `InvalidChangeBatch` from the others.
fn says_changed(message: &str) -> bool {
    ["already exists", "was not found", "do not match the current values"].iter().any(|text| message.contains(text))
}
