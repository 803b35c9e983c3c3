//! What one step did to one resource, or would do: the rows of an execution's answer.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub resource: String,
    /// ARN, id or DNS name; a plan knows none of what is not made yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    pub outcome: Outcome,
    /// Of a resource that stood already, what differed from the input's wish.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Created,
    Found,
    Changed,
    Removed,
}

impl Step {
    pub fn new(resource: &str, id: impl Into<String>, outcome: Outcome) -> Self {
        Step { resource: resource.into(), id: id.into(), outcome, changes: vec![] }
    }

    /// Of what stood already: found as wanted, or with these changes.
    pub fn settled(resource: &str, id: impl Into<String>, changes: Vec<String>) -> Self {
        let outcome = if changes.is_empty() { Outcome::Found } else { Outcome::Changed };
        Step { changes, ..Step::new(resource, id, outcome) }
    }
}

/// `what: found → wanted`, where they differ.
pub fn change(what: &str, found: impl Display, wanted: impl Display) -> Option<String> {
    let (found, wanted) = (found.to_string(), wanted.to_string());
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    (found != wanted).then(|| format!("{what}: {} → {}", or_none(&found), or_none(&wanted)))
}
