//! What one step did to one resource: the rows of an execution's answer.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub resource: String,
    /// ARN, id or DNS name.
    pub id: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Created,
    Found,
    Changed,
}

impl Step {
    pub fn new(resource: &str, id: impl Into<String>, outcome: Outcome) -> Self {
        Step { resource: resource.into(), id: id.into(), outcome }
    }
}
