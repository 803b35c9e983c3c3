//! The morning: which environments nights have removed, and what else has become of them since. No I/O.
//!
//! Step Functions' own lists are the record. The night names a teardown `<environment>.<its own execution's name>`, the
//! morning a provision likewise. A name with a dot is one of theirs: neither the console nor a rule gives such names.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::teardown::Input;

/// What a night removed longer ago stays away: a weekend, and days on which its provision failed.
pub const REMEMBERED: Duration = Duration::from_secs(8 * 24 * 3600);

/// The environment whose teardown a night, or whose provision a morning has started.
pub fn environment(execution: &str) -> Option<&str> {
    execution.split_once('.').map(|(environment, _)| environment)
}

/// An environment to bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Return {
    pub name: String,
    /// ARN of its last successful provision, whose input it comes back by.
    pub provision: String,
}

/// Environments that are away, each since the night that removed it.
#[derive(Debug, Default)]
pub struct Away {
    nights: BTreeMap<String, SystemTime>,
    by_hand: BTreeMap<String, SystemTime>,
}

impl Away {
    /// A night's teardown of an environment, told with the newest first.
    pub fn removed(&mut self, name: &str, at: SystemTime) {
        if self.by_hand.get(name).is_none_or(|hand| *hand < at) {
            self.nights.entry(name.to_owned()).or_insert(at);
        }
    }

    /// A teardown that somebody else has started: what people take down themselves stays down.
    pub fn torn_down(&mut self, name: String, input: &Input, at: SystemTime) {
        if !input.own_only && !input.dry_run {
            self.by_hand.entry(name).or_insert(at);
        }
    }

    /// A successful provision, told with the newest first; answers the environment's return if this is what it comes
    /// back by, as no later one has brought it back already.
    pub fn provisioned(&mut self, name: &str, provision: &str, at: SystemTime) -> Option<Return> {
        let night = self.nights.remove(name)?;
        (at < night).then(|| Return { name: name.into(), provision: provision.into() })
    }

    /// Whether no environment's provision is looked for any more.
    pub fn is_empty(&self) -> bool {
        self.nights.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn only_the_night_and_the_morning_give_names_with_a_dot() {
        assert_eq!(environment("api-example-com.5f2c_9b1d"), Some("api-example-com"));
        assert_eq!(environment("5f2c-rollback"), None);
    }

    #[test]
    fn what_the_night_removed_comes_back_by_its_last_provision() {
        let mut away = Away::default();
        away.removed("api", at(50));
        away.removed("api", at(20));
        assert_eq!(away.provisioned("web", "arn:web", at(45)), None);
        let back = Return { name: "api".into(), provision: "arn:late".into() };
        assert_eq!(away.provisioned("api", "arn:late", at(40)), Some(back));
        assert_eq!(away.provisioned("api", "arn:early", at(10)), None);
        assert!(away.is_empty());
    }

    #[test]
    fn what_stands_again_is_left_alone() {
        let mut away = Away::default();
        away.removed("api", at(50));
        assert_eq!(away.provisioned("api", "arn:since", at(60)), None);
        assert_eq!(away.provisioned("api", "arn:before", at(40)), None);
    }

    #[test]
    fn what_somebody_took_down_stays_down_but_a_rollback_is_nobodys_wish() {
        let (by_hand, rollback) = (Input::default(), Input { own_only: true, ..Input::default() });
        let mut away = Away::default();
        away.torn_down("api".into(), &by_hand, at(60));
        away.torn_down("web".into(), &rollback, at(60));
        away.removed("api", at(50));
        away.removed("web", at(50));
        assert_eq!(away.provisioned("api", "arn:api", at(40)), None);
        assert!(away.provisioned("web", "arn:web", at(40)).is_some());
        // Taken down by hand, provisioned, and then removed by a night: the night is the last word.
        away.torn_down("shop".into(), &by_hand, at(10));
        away.removed("shop", at(50));
        assert!(away.provisioned("shop", "arn:shop", at(20)).is_some());
    }
}
