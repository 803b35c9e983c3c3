//! The kinds of resources, by the names that answers give them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Ordered as a provision's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    #[serde(rename = "security group")]
    SecurityGroup,
    #[serde(rename = "target group")]
    TargetGroup,
    #[serde(rename = "load balancer")]
    LoadBalancer,
    #[serde(rename = "HTTP listener")]
    HttpListener,
    #[serde(rename = "rule that admits the load balancer")]
    Rule,
    #[serde(rename = "target")]
    Target,
    #[serde(rename = "certificate")]
    Certificate,
    #[serde(rename = "validation record")]
    ValidationRecord,
    #[serde(rename = "HTTPS listener")]
    HttpsListener,
    #[serde(rename = "redirect to HTTPS")]
    Redirect,
    #[serde(rename = "alias record")]
    AliasRecord,
    #[serde(rename = "lock record")]
    LockRecord,
    /// The user's.
    #[serde(rename = "Elastic IP")]
    Address,
    /// The user's.
    #[serde(rename = "instance")]
    Instance,
}

impl fmt::Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_one_way() {
        assert_eq!(Kind::Address.to_string(), "Elastic IP");
        assert_eq!(serde_json::to_string(&Kind::Address).unwrap(), r#""Elastic IP""#);
    }
}
