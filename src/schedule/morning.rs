//! The morning: which environments nights have taken the load balancer of, and what else has become of them since. No I/O.
//!
//! Step Functions' own lists are the record. The night names a teardown `<environment>--night--<its own execution's name>`,
//! the morning a provision likewise. No environment's name has two hyphens in a row, and the end is the name of an execution
//! that there has been, so what people name otherwise is not taken for one of theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::spec::input::Returned;

/// What a night removed longer ago stays away: a weekend, and days on which its provision failed.
pub const REMEMBERED: Duration = Duration::from_secs(8 * 24 * 3600);

/// Executions that one machine has started by another, as nights start teardowns; known by their names.
#[derive(Debug, Default)]
pub struct Started {
    word: &'static str,
    /// Names of the machine's executions.
    by: BTreeSet<String>,
}

impl Started {
    pub fn by_nights(names: impl IntoIterator<Item = String>) -> Self {
        Started { word: "--night--", by: names.into_iter().map(plain).collect() }
    }

    pub fn by_mornings(names: impl IntoIterator<Item = String>) -> Self {
        Started { word: "--morning--", by: names.into_iter().map(plain).collect() }
    }

    /// The environment that such an execution is of; `None` of another.
    pub fn environment<'a>(&self, execution: &'a str) -> Option<&'a str> {
        let (environment, by) = execution.split_once(self.word)?;
        // A name of at most 80 characters has lost its end.
        let is_one = self.by.contains(by) || by.len() > 36 && self.by.iter().any(|name| name.starts_with(by));
        is_one.then_some(environment)
    }
}

/// An execution's name as names of ours have it: of characters that CloudWatch Logs takes.
fn plain(name: String) -> String {
    let is_taken = |letter: &char| letter.is_ascii_alphanumeric() || ['-', '_'].contains(letter);
    name.chars().map(|letter| if is_taken(&letter) { letter } else { '-' }).collect()
}

/// An environment to bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Return {
    pub name: String,
    /// ARN of its last successful provision, whose input it comes back by.
    pub provision: String,
    /// ARN of the night's teardown.
    #[serde(skip)]
    pub teardown: String,
    /// What that has put back at the domain.
    pub put_back: Vec<Returned>,
}

/// What somebody's own teardown was of: environments by name, or by domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meant {
    pub name: Option<String>,
    pub domain: Option<String>,
}

/// Environments that are away, each since the night that removed it.
#[derive(Debug, Default)]
pub struct Away {
    /// With the ARN of the teardown.
    nights: BTreeMap<String, (SystemTime, String)>,
    names: BTreeMap<String, SystemTime>,
    domains: BTreeMap<String, SystemTime>,
}

impl Away {
    /// A night's teardown of an environment whose load balancer does not stand, told with the newest first.
    pub fn removed(&mut self, name: &str, at: SystemTime, teardown: &str) {
        if self.names.get(name).is_none_or(|hand| *hand < at) {
            self.nights.entry(name.to_owned()).or_insert_with(|| (at, teardown.to_owned()));
        }
    }

    /// A teardown that somebody has started: what people take down themselves stays down.
    pub fn torn_down(&mut self, meant: Meant, at: SystemTime) {
        for (key, of) in [(meant.name, &mut self.names), (meant.domain, &mut self.domains)] {
            key.map(|key| of.entry(key).or_insert(at));
        }
    }

    /// Whether it takes a provision's domain to know whether its environment comes back.
    pub fn needs_domain(&self, name: &str) -> bool {
        !self.domains.is_empty() && self.nights.contains_key(name)
    }

    /// A successful provision, told with the newest first; answers the environment's return if this is what it comes
    /// back by, as no later one has brought it back already.
    pub fn provisioned(&mut self, name: &str, domain: Option<&str>, provision: &str, at: SystemTime) -> Option<Return> {
        let (night, teardown) = self.nights.remove(name)?;
        let by_hand = domain.and_then(|domain| self.domains.get(domain)).is_some_and(|hand| *hand >= night);
        (at < night && !by_hand).then(|| Return {
            name: name.into(),
            provision: provision.into(),
            teardown,
            put_back: vec![],
        })
    }

    /// Whether no environment's provision is looked for any more.
    pub fn is_empty(&self) -> bool {
        self.nights.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIGHT: &str = "5f2c0b1d-8a3e-4c6f-9d2b-7e1a0c4b6d8f_11111111-2222-3333-4444-555555555555";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn named(name: &str) -> Meant {
        Meant { name: Some(name.into()), domain: None }
    }

    fn of(domain: &str) -> Meant {
        Meant { name: None, domain: Some(domain.into()) }
    }

    #[test]
    fn only_what_a_night_has_started_is_a_nights() {
        let nights = Started::by_nights([NIGHT.to_owned(), "by.hand".to_owned()]);
        assert_eq!(nights.environment("api-example-com--night--by-hand"), Some("api-example-com"));
        let whole = format!("api-example-com--night--{NIGHT}");
        assert_eq!(nights.environment(&whole[..80]), Some("api-example-com"));
        for other in ["api.5f2c", "api--night--5f2c", "api--night--", "api--morning--by-hand", "5f2c-rollback", "api"] {
            assert_eq!(nights.environment(other), None, "{other}");
        }
    }

    #[test]
    fn what_the_night_removed_comes_back_by_its_last_provision() {
        let mut away = Away::default();
        away.removed("api", at(50), "arn:night");
        away.removed("api", at(20), "arn:earlier");
        assert_eq!(away.provisioned("web", None, "arn:web", at(45)), None);
        let back =
            Return { name: "api".into(), provision: "arn:late".into(), teardown: "arn:night".into(), put_back: vec![] };
        assert_eq!(away.provisioned("api", None, "arn:late", at(40)), Some(back));
        assert_eq!(away.provisioned("api", None, "arn:early", at(10)), None);
        assert!(away.is_empty());
    }

    #[test]
    fn what_stands_again_is_left_alone() {
        let mut away = Away::default();
        away.removed("api", at(50), "arn:night");
        assert_eq!(away.provisioned("api", None, "arn:since", at(60)), None);
        assert_eq!(away.provisioned("api", None, "arn:before", at(40)), None);
    }

    #[test]
    fn what_somebody_took_down_by_name_or_domain_stays_down() {
        let mut away = Away::default();
        away.torn_down(named("api"), at(60));
        away.torn_down(of("www.example.com"), at(60));
        away.removed("api", at(50), "arn:night");
        away.removed("web", at(50), "arn:night");
        assert_eq!(away.provisioned("api", None, "arn:api", at(40)), None);
        assert!(away.needs_domain("web"));
        assert_eq!(away.provisioned("web", Some("www.example.com"), "arn:web", at(40)), None);
        // Taken down by hand, provisioned, and then removed by a night: the night is the last word.
        away.torn_down(named("shop"), at(10));
        away.torn_down(of("shop.example.com"), at(10));
        away.removed("shop", at(50), "arn:night");
        assert!(away.provisioned("shop", Some("shop.example.com"), "arn:shop", at(20)).is_some());
    }
}
