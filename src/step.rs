//! What one step did to one resource, or would do: the rows of an execution's answer.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::kind::Kind;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub resource: Kind,
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
    pub fn new(resource: Kind, id: impl Into<String>, outcome: Outcome) -> Self {
        Step { resource, id: id.into(), outcome, changes: vec![] }
    }

    /// Of what stood and goes, with what it was.
    pub fn removed(resource: Kind, id: impl Into<String>, what: impl Display) -> Self {
        Step { changes: vec![format!("- {what}")], ..Step::new(resource, id, Outcome::Removed) }
    }

    /// Of what stood already: found as wanted, or with these changes.
    pub fn settled(resource: Kind, id: impl Into<String>, changes: Vec<String>) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_where_there_is_one() {
        assert_eq!(change("port", 80, "80"), None);
        assert_eq!(change("port", "", 80).unwrap(), "port: none → 80");
    }

    #[test]
    fn what_is_not_made_has_no_id_and_what_is_as_wanted_no_changes() {
        let row = |step: Step| serde_json::to_string(&step).unwrap();
        assert_eq!(row(Step::new(Kind::Target, "", Outcome::Created)), r#"{"resource":"target","outcome":"created"}"#);
        assert_eq!(
            row(Step::settled(Kind::Target, "1", vec![])),
            r#"{"resource":"target","id":"1","outcome":"found"}"#
        );
        let changed = Step::settled(Kind::Target, "1", vec!["a: 1 → 2".into()]);
        assert_eq!(row(changed), r#"{"resource":"target","id":"1","outcome":"changed","changes":["a: 1 → 2"]}"#);
    }
}
