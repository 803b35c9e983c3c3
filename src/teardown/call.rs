//! What one call of the teardown function works with.

use crate::aws::Clients;
use crate::owner::Owner;
use crate::spec::teardown_input::TeardownInput;

pub struct Call<'a> {
    pub clients: &'a Clients,
    pub owner: Owner,
    pub input: TeardownInput,
    /// ARN of the execution that holds the lock, or is to.
    pub run: String,
    /// An error that may pass is worth another try; else it counts as refused.
    pub patient: bool,
    /// The state machine repeats the call.
    pub again: bool,
}
