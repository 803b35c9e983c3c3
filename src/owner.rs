//! Whose environments are.

use serde::{Deserialize, Serialize};

/// A stack, in one region of one account. Stacks elsewhere may have the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub stack: String,
    pub region: String,
    pub account: String,
}
