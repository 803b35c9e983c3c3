//! Who owns an environment.

use serde::{Deserialize, Serialize};

/// A stack in one region of one account. Stacks in other regions and accounts may have the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub stack: String,
    pub region: String,
    pub account: String,
}
