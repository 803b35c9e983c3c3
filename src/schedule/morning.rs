//! The morning: which environments have lost their load balancer to a night, and what has become of them since. No I/O.
//!
//! Step Functions' own lists are the record. A night names a teardown `<environment>--night--<the night's execution name>`, and
//! a morning names a provision likewise. No environment's name has two hyphens in a row, and the last part must be the name
//! of an execution that exists, so names that people give are not taken for theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::spec::input::Returned;

/// An environment that a night removed longer ago does not come back. The time spans a weekend, and days on which the
/// provision failed.
pub const REMEMBERED: Duration = Duration::from_secs(8 * 24 * 3600);

/// The executions that another machine has started, as nights start teardowns. They are known by their names.
#[derive(Debug, Default)]
pub struct Started {
    word: &'static str,
    /// Names of the executions of the machine that starts them.
    by: BTreeSet<String>,
}

impl Started {
    pub fn by_nights(names: impl IntoIterator<Item = String>) -> Self {
        Started { word: "--night--", by: names.into_iter().map(plain).collect() }
    }

    pub fn by_mornings(names: impl IntoIterator<Item = String>) -> Self {
        Started { word: "--morning--", by: names.into_iter().map(plain).collect() }
    }

    /// Returns the environment of such an execution; `None` where the name is that of another.
    pub fn environment<'a>(&self, execution: &'a str) -> Option<&'a str> {
        let (environment, by) = execution.split_once(self.word)?;
        // Step Functions takes names of at most 80 characters, so the end of a long one is cut off.
        let is_one = self.by.contains(by) || by.len() > 36 && self.by.iter().any(|name| name.starts_with(by));
        is_one.then_some(environment)
    }
}

/// Writes an execution's name as the machines do in names that they give: only with characters that CloudWatch Logs takes.
fn plain(name: String) -> String {
    let is_taken = |letter: &char| letter.is_ascii_alphanumeric() || ['-', '_'].contains(letter);
    name.chars().map(|letter| if is_taken(&letter) { letter } else { '-' }).collect()
}

/// An environment to bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Return {
    pub name: String,
    /// ARN of its last successful provision, with whose input it comes back.
    pub provision: String,
    /// ARN of the night's teardown.
    #[serde(skip)]
    pub teardown: String,
    /// What that teardown has put back at the domain.
    pub put_back: Vec<Returned>,
}

/// The environments that somebody's own teardown meant, by name or by domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meant {
    pub name: Option<String>,
    pub domain: Option<String>,
}

/// The environments that are away, each since the night that removed it.
#[derive(Debug, Default)]
pub struct Away {
    /// By name: when the night's teardown started, and its ARN.
    nights: BTreeMap<String, (SystemTime, String)>,
    /// When somebody took down an environment, by name and by domain.
    names: BTreeMap<String, SystemTime>,
    domains: BTreeMap<String, SystemTime>,
}

impl Away {
    /// Notes a night's teardown of an environment whose load balancer does not stand. Call it for the newest teardown first.
    pub fn removed(&mut self, name: &str, at: SystemTime, teardown: &str) {
        if self.names.get(name).is_none_or(|hand| *hand < at) {
            self.nights.entry(name.to_owned()).or_insert_with(|| (at, teardown.to_owned()));
        }
    }

    /// Notes a teardown that somebody has started: what people take down themselves stays down.
    pub fn torn_down(&mut self, meant: Meant, at: SystemTime) {
        for (key, of) in [(meant.name, &mut self.names), (meant.domain, &mut self.domains)] {
            key.map(|key| of.entry(key).or_insert(at));
        }
    }

    /// Whether the domain of a provision is needed to tell whether its environment comes back.
    pub fn needs_domain(&self, name: &str) -> bool {
        !self.domains.is_empty() && self.nights.contains_key(name)
    }

    /// Notes a successful provision. Call it for the newest provision first. Returns the environment to bring back, where this
    /// is its last provision and none has brought it back since.
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

    /// Whether no environment is left whose provision is looked for.
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
