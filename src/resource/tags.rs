//! Whose a resource is: the tags that every resource of ours carries, and the consent tags of the user's.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_elasticloadbalancingv2 as elb;

use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::spec::environment::Environment;
use crate::spec::names::TAG_VALUE_MAX;

/// What the keys of our own tags begin with.
const OURS: &str = "albatross:";
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

/// A resource has at most 50 tags (API references of ELB, EC2 and ACM, Tag); the rest is for ours and for those that an
/// account adds by itself.
const GIVEN_MAX: usize = 40;
/// The longest key, in characters (ELB API reference, Tag).
const KEY_MAX: usize = 128;
/// The API's most for DescribeTags.
const TAGS_A_CALL: usize = 20;

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
    pub fn check(&self, environment: &Environment, resource: Kind, id: &str) -> Result<()> {
        if self.are_of(&environment.owner.stack, &environment.name)
            && self.get(DOMAIN) == Some(&environment.input.domain)
        {
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

/// The tags of everything of this environment, as pairs: ours, and those that its stack was given.
pub fn of(environment: &Environment) -> Vec<(&str, &str)> {
    let ours = [
        (STACK, &environment.owner.stack),
        (ENVIRONMENT, &environment.name),
        (DOMAIN, &environment.input.domain),
        (ZONE, &environment.zone.id),
    ];
    let given = environment.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    ours.into_iter().map(|(key, value)| (key, value.as_str())).chain(given).collect()
}

/// The tags of load balancers and target groups, by ARN.
///
/// # Errors
/// [`Error::AwsUnavailable`] where one went since it was found: it fails the call for all, so look again.
pub async fn by_arn(client: &elb::Client, arns: &[String]) -> Result<HashMap<String, Tags>> {
    let mut found = HashMap::new();
    for arns in arns.chunks(TAGS_A_CALL) {
        let answer = client.describe_tags().set_resource_arns(Some(arns.to_vec())).send().await;
        let answer = answer
            .call("elasticloadbalancing:DescribeTags")
            .appears_late(&["LoadBalancerNotFound", "TargetGroupNotFound"])?;
        found.extend(
            answer.tag_descriptions().iter().map(|described| {
                (described.resource_arn().unwrap_or_default().to_owned(), Tags::from(described.tags()))
            }),
        );
    }
    Ok(found)
}

/// The environment's tags as ELB's requests take them.
pub fn of_elb(environment: &Environment) -> Vec<elb::types::Tag> {
    of(environment).into_iter().map(|(key, value)| elb::types::Tag::builder().key(key).value(value).build()).collect()
}

/// The tags in the stack's parameter ResourceTags, such as `team=web,cost-center=42`.
///
/// # Errors
/// [`Error::InvalidInput`] at `ResourceTags`, where AWS would refuse one, or it could be taken for one of ours.
pub fn given(parameter: &str) -> Result<BTreeMap<String, String>> {
    let mut given = BTreeMap::new();
    for tag in parameter.split(',').filter(|tag| !tag.is_empty()) {
        let wrong = |problem: String| {
            let problem = format!("{tag:?}: {problem}. Deploy the stack with tags such as team=web,cost-center=42");
            Error::input("ResourceTags", problem)
        };
        let (key, value) = tag.split_once('=').ok_or_else(|| wrong("is not key=value".into()))?;
        check_given(key, value).map_err(wrong)?;
        if given.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(wrong(format!("the key {key:?} is given twice")));
        }
    }
    if given.len() > GIVEN_MAX {
        return Err(Error::input("ResourceTags", format!("{} tags; give at most {GIVEN_MAX}", given.len())));
    }
    Ok(given)
}

/// Refuses what AWS would refuse. ELB and ACM take `[\p{L}\p{Z}\p{N}_.:/=+\-@]` alone, EC2 more (API references, Tag), and ACM
/// refuses `aws:` in any case. Rust's `is_alphanumeric` takes vowel signs too, which Unicode calls marks, not letters.
fn check_given(key: &str, value: &str) -> std::result::Result<(), String> {
    use icu_properties::props::{EnumeratedProperty, GeneralCategory, GeneralCategoryGroup as Group};
    if key.is_empty() {
        return Err("has no key".into());
    }
    for (what, text, most) in [("key", key, KEY_MAX), ("value", value, TAG_VALUE_MAX)] {
        let length = text.chars().count();
        if length > most {
            return Err(format!("the {what} has {length} characters; a tag's has at most {most}"));
        }
        if text.trim() != text {
            return Err(format!("the {what} begins or ends with a space"));
        }
        let taken = Group::Letter.union(Group::Separator).union(Group::Number);
        let is_taken = |c: char| taken.contains(GeneralCategory::for_char(c)) || "_.:/=+-@".contains(c);
        if let Some(other) = text.chars().find(|c| !is_taken(*c)) {
            return Err(format!("{other:?} may not be in a tag; letters, numbers, spaces and _ . : / = + - @ may"));
        }
    }
    let prefix = key.split_inclusive(':').next().unwrap_or_default();
    if prefix.eq_ignore_ascii_case("aws:") || prefix == OURS {
        return Err(format!("keys that begin with {prefix} are not the user's"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stacks_tags_are_on_everything_of_an_environment() {
        let mut environment = Environment::example();
        assert_eq!(of(&environment).len(), 4);
        environment.tags = given("team=web,cost-center=42").unwrap();
        let tags = of(&environment);
        assert!(tags.contains(&("team", "web")) && tags.contains(&("cost-center", "42")) && tags.len() == 6);
        let tags: Tags = tags.into_iter().collect();
        assert!(tags.check(&environment, Kind::Target, "id").is_ok());
    }

    #[test]
    fn tags_that_aws_takes_are_given() {
        let one = |parameter: &str| given(parameter).unwrap().into_iter().next();
        assert_eq!(given("").unwrap(), BTreeMap::new());
        assert_eq!(one("a="), Some(("a".into(), String::new())));
        assert_eq!(one("owner=the web team"), Some(("owner".into(), "the web team".into())));
        assert_eq!(one("팀=웹"), Some(("팀".into(), "웹".into())));
        assert_eq!(one("k=ʰ Ⅻ\u{3000}½ ª"), Some(("k".into(), "ʰ Ⅻ\u{3000}½ ª".into())));
        assert_eq!(one("a:b/c@d+e-f_g.h=i=j=="), Some(("a:b/c@d+e-f_g.h".into(), "i=j==".into())));
        assert!(one(&format!("{}={}", "k".repeat(KEY_MAX), "v".repeat(TAG_VALUE_MAX))).is_some());
        let many = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(given(&many(GIVEN_MAX)).unwrap().len(), GIVEN_MAX);
        assert!(given(&many(GIVEN_MAX + 1)).unwrap_err().to_string().contains("at most 40"));
    }

    #[test]
    fn tags_that_aws_refuses_are_refused_by_name() {
        for (parameter, said) in [
            ("team", "\"team\": is not key=value"),
            ("=web", "has no key"),
            ("team=web,team=api", "given twice"),
            ("AWS:team=web", "begin with AWS:"),
            ("aws:cloudformation:stack-name=x", "begin with aws:"),
            ("albatross:stack=other", "begin with albatross:"),
            ("team=<web>", "'<' may not be in a tag"),
            ("te*m=web", "'*' may not be in a tag"),
            ("team=web\n", "begins or ends with a space"),
            ("team=w\neb", "may not be in a tag"),
            ("team =web", "begins or ends with a space"),
            ("team=🦅", "may not be in a tag"),
            // Alphabetic in Unicode, and no letters: a vowel sign and a circled letter.
            ("team=हिन", "may not be in a tag"),
            ("team=Ⓐ", "may not be in a tag"),
            (&format!("{}=v", "k".repeat(KEY_MAX + 1)), "129 characters"),
            (&format!("k={}", "v".repeat(TAG_VALUE_MAX + 1)), "257 characters"),
        ] {
            let error = given(parameter).unwrap_err();
            assert_eq!(error.name(), "InvalidInput");
            assert!(error.to_string().starts_with("ResourceTags: "), "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
