//! Whose a resource is: the tags that every resource of ours carries, and the consent tags of the user's.

use crate::environment::Environment;
use crate::error::{Error, Result};

pub const STACK: &str = "albatross:stack";
pub const ENVIRONMENT: &str = "albatross:environment";
pub const DOMAIN: &str = "albatross:domain";
pub const ZONE: &str = "albatross:zone";
/// On the load balancer: the nightly rule leaves the environment alone until this RFC 3339 date-time.
pub const KEEP_UNTIL: &str = "albatross:keep-until";
/// On the user's instance (`stop` or `terminate`) or Elastic IP (`release`): consent to end its charges too.
pub const ON_TEARDOWN: &str = "albatross:on-teardown";
/// On the user's security group (`true`): consent to the rule that admits the load balancer.
pub const OPEN: &str = "albatross:open";

/// A resource's tags, whatever service they came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(Vec<(String, String)>);

impl Tags {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Of this stack and this environment.
    pub fn are_of(&self, stack: &str, environment: &str) -> bool {
        self.get(STACK) == Some(stack) && self.get(ENVIRONMENT) == Some(environment)
    }

    /// Refuses what has our name and not our tags, or those of an environment of that name for another domain.
    pub fn check(&self, environment: &Environment, resource: &'static str, id: &str) -> Result<()> {
        if self.are_of(&environment.stack, &environment.name) && self.get(DOMAIN) == Some(&environment.domain) {
            return Ok(());
        }
        let why = match (self.get(STACK), self.get(ENVIRONMENT)) {
            (None, _) => format!("it has no tag {STACK}"),
            (Some(stack), name) => format!(
                "its tags say stack {stack:?}, environment {:?}, domain {:?}",
                name.unwrap_or_default(),
                self.get(DOMAIN).unwrap_or_default()
            ),
        };
        Err(Error::NotOurs { resource, id: id.into(), why })
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Tags(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// Each SDK crate has a `Tag` of its own with the same two fields.
macro_rules! from_sdk {
    ($($sdk:ident),*) => {$(
        impl From<&[$sdk::types::Tag]> for Tags {
            fn from(tags: &[$sdk::types::Tag]) -> Self {
                tags.iter().map(|tag| {
                    let (key, value): (Option<&str>, Option<&str>) = (tag.key().into(), tag.value().into());
                    (key.unwrap_or_default(), value.unwrap_or_default())
                }).collect()
            }
        }
    )*};
}
from_sdk!(aws_sdk_ec2, aws_sdk_elasticloadbalancingv2, aws_sdk_acm);

/// The tags of everything of this environment, as pairs.
pub fn of(environment: &Environment) -> [(&'static str, &str); 4] {
    [
        (STACK, &environment.stack),
        (ENVIRONMENT, &environment.name),
        (DOMAIN, &environment.domain),
        (ZONE, &environment.zone.id),
    ]
}
