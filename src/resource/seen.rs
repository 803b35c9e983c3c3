//! What check-input has seen of an environment before this run changes anything.

use serde::{Deserialize, Serialize};

use super::dns::SeenRecords;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The environment stood whole: a failure must not take it away.
    pub complete: bool,
    /// Id of the load balancer's security group, where it stands.
    pub security_group: Option<String>,
    /// As it stood before the lock was taken.
    pub at_domain: SeenRecords,
}
