//! Teardown: which environment is meant, what stands of it, what is decided about each resource, and how that is carried out.
//!
//! `identify` and `survey` read, `lock` and `act` change; the other files decide, without I/O.

pub mod act;
pub mod call;
pub mod certificates;
pub mod destinations;
pub mod entry;
pub mod identify;
pub mod identity;
pub mod item;
pub mod list;
pub mod lock;
pub mod survey;
pub mod users_own;

pub use call::Call;
pub use entry::{Action, Entry};
pub use identity::Identity;
pub use item::{Decision, Item, ItemOutcome};
