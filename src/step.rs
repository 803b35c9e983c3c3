//! What one step did to one resource, or would do: the rows of an execution's answer.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::kind::Kind;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub resource: Kind,
    /// ARN, id or DNS name; `None` of what a plan would make and AWS would name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
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
        Step { resource, id: Some(id.into()), outcome, changes: vec![] }
    }

    /// The row of what does not stand yet; once it is made, it gets its id.
    pub fn missing(resource: Kind) -> Self {
        Step { resource, id: None, outcome: Outcome::Created, changes: vec![] }
    }

    /// The row of what stood and goes, with what it was.
    pub fn removed(resource: Kind, id: impl Into<String>, what: impl Display) -> Self {
        Step { changes: vec![format!("- {what}")], ..Step::new(resource, id, Outcome::Removed) }
    }

    /// The row of what stood already: found as wanted, or with these changes.
    pub fn settled(resource: Kind, id: Option<&str>, changes: impl IntoIterator<Item = String>) -> Self {
        let changes: Vec<String> = changes.into_iter().collect();
        let outcome = if changes.is_empty() { Outcome::Found } else { Outcome::Changed };
        Step { resource, id: id.map(Into::into), outcome, changes }
    }
}

/// `what: found → wanted`, where they differ; `found` is `None` where nothing is set.
pub fn change(what: &str, found: Option<impl Display>, wanted: impl Display) -> Option<String> {
    let (found, wanted) = (found.map(|found| found.to_string()), wanted.to_string());
    (found.as_ref() != Some(&wanted)).then(|| format!("{what}: {} → {wanted}", found.as_deref().unwrap_or("none")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_where_there_is_one() {
        assert_eq!(change("port", Some(80), "80"), None);
        assert_eq!(change("port", None::<i32>, 80).unwrap(), "port: none → 80");
    }

    #[test]
    fn what_is_not_made_has_no_id_and_what_is_as_wanted_no_changes() {
        let row = |step: Step| serde_json::to_string(&step).unwrap();
        assert_eq!(row(Step::missing(Kind::Target)), r#"{"resource":"target","outcome":"created"}"#);
        assert_eq!(
            row(Step::settled(Kind::Target, Some("1"), None)),
            r#"{"resource":"target","id":"1","outcome":"found"}"#
        );
        let changed = Step::settled(Kind::Target, Some("1"), Some("a: 1 → 2".into()));
        assert_eq!(row(changed), r#"{"resource":"target","id":"1","outcome":"changed","changes":["a: 1 → 2"]}"#);
    }
}
