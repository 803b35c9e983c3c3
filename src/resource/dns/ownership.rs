//! Whose the records of a domain are: the ownership record, and what goes and comes back when its environment ends.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_route53 as route53;
use route53::types::{ResourceRecordSet, RrType};

use super::record::{Edit, TTL, alias, plain, resource_record, same, txt, txt_values, validates};
use super::standing::Standing;
use crate::owner::Owner;
use crate::spec::ids::Target;
use crate::spec::names;

/// Whose the records of a domain are, and what they replaced: the content of the ownership record.
///
/// One TXT value per line of it: `heritage=albatross stack=… region=… account=… environment=… target=<load balancer's DNS
/// name>`, then for each value of a replaced record `previous=A ttl=300 value=203.0.113.7 instance=i-…`, or for a replaced
/// alias `previous=A alias=<DNS name> zone=<its hosted zone> health=false`. `wildcard=true` ends the lines of copies.
#[derive(Debug, Clone, PartialEq)]
pub struct Ownership {
    pub stack: String,
    /// `None` in a record of a version that knew its own region and account alone.
    pub region: Option<String>,
    pub account: Option<String>,
    pub environment: String,
    /// The DNS name that our alias points at; `None` where none of ours stands.
    pub target: Option<String>,
    pub previous: Vec<Previous>,
}

/// A record that ours stands in place of.
#[derive(Debug, Clone, PartialEq)]
pub struct Previous {
    pub record: ResourceRecordSet,
    /// For each of its values that was an address of one of the environment's instances, the id of that instance.
    pub instances: BTreeMap<String, String>,
    /// It never stood at the domain itself: a wildcard record served the domain, and this is a copy of it.
    pub wildcard: bool,
}

impl Previous {
    /// A record that stands, with the instances that its values lead to.
    pub fn of(record: &ResourceRecordSet, instances: &[Target]) -> Self {
        Previous { record: record.clone(), instances: BTreeMap::new(), wildcard: false }.led_to(instances)
    }

    /// With the instances that its values lead to now, where it does not know them from before.
    pub fn led_to(mut self, instances: &[Target]) -> Self {
        for value in self.record.resource_records().iter().map(|value| value.value()) {
            if let Some(holder) = instances.iter().find(|instance| instance.has(value)) {
                self.instances.entry(value.to_owned()).or_insert_with(|| holder.id.clone());
            }
        }
        self
    }

    /// As lines of the ownership record.
    fn lines(&self) -> Vec<String> {
        let kind = self.record.r#type();
        let end = if self.wildcard { " wildcard=true" } else { "" };
        if let Some(to) = self.record.alias_target() {
            let (name, zone, health) = (to.dns_name(), to.hosted_zone_id(), to.evaluate_target_health());
            return vec![format!("previous={kind} alias={name} zone={zone} health={health}{end}")];
        }
        let line = |value: &str| {
            let instance = self.instances.get(value).map(|id| format!(" instance={id}")).unwrap_or_default();
            format!("previous={kind} ttl={} value={value}{instance}{end}", self.record.ttl().unwrap_or(TTL))
        };
        self.record.resource_records().iter().map(|value| line(value.value())).collect()
    }
}

impl Ownership {
    /// A record that says no region or account is of the one that reads it.
    pub fn is_of(&self, owner: &Owner, environment: &str) -> bool {
        let here = |says: &Option<String>, own: &String| says.as_ref().is_none_or(|says| says == own);
        self.stack == owner.stack
            && self.environment == environment
            && here(&self.region, &owner.region)
            && here(&self.account, &owner.account)
    }

    /// For a message: `environment api of stack albatross in us-east-1 of account 123456789012`.
    pub fn described(&self) -> String {
        let place = |word: &str, says: &Option<String>| says.as_ref().map(|says| format!(" {word} {says}"));
        format!(
            "environment {} of stack {}{}{}",
            self.environment,
            self.stack,
            place("in", &self.region).unwrap_or_default(),
            place("of account", &self.account).unwrap_or_default()
        )
    }

    /// Of copies of a wildcard's records, before any alias of ours stands.
    pub fn of_copies(owner: &Owner, environment: &str, copies: &[ResourceRecordSet]) -> Self {
        let Owner { stack, region, account } = owner.clone();
        let previous = copies.iter().map(|copy| Previous { wildcard: true, ..Previous::of(copy, &[]) }).collect();
        let (region, account, environment) = (Some(region), Some(account), environment.into());
        Ownership { stack, region, account, environment, target: None, previous }
    }

    pub fn has_copies(&self) -> bool {
        self.previous.iter().any(|previous| previous.wildcard)
    }

    /// Whether a record at the domain is the copy of a wildcard's that it remembers.
    pub fn has_copied(&self, record: &ResourceRecordSet) -> bool {
        self.previous.iter().any(|previous| previous.wildcard && same(&previous.record, record))
    }

    fn values(&self) -> Vec<String> {
        let head = [
            ("heritage", Some("albatross")),
            ("stack", Some(self.stack.as_str())),
            ("region", self.region.as_deref()),
            ("account", self.account.as_deref()),
            ("environment", Some(self.environment.as_str())),
            ("target", self.target.as_deref()),
        ];
        let fields = head.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let mut values = vec![fields.collect::<Vec<_>>().join(" ")];
        values.extend(self.previous.iter().flat_map(Previous::lines));
        values
    }

    pub fn record(&self, domain: &str) -> ResourceRecordSet {
        txt(&names::ownership_record(domain), &self.values())
    }

    /// `None` where the record is not one of Albatross.
    pub fn parse(record: &ResourceRecordSet, domain: &str) -> Option<Ownership> {
        let mut ownership = None;
        let mut previous: Vec<Previous> = vec![];
        for line in &txt_values(record) {
            let fields: HashMap<&str, &str> = line.split(' ').filter_map(|field| field.split_once('=')).collect();
            let get = |key: &str| fields.get(key).map(|value| (*value).to_owned());
            if get("heritage").as_deref() == Some("albatross") {
                ownership = Some(Ownership {
                    stack: get("stack")?,
                    region: get("region"),
                    account: get("account"),
                    environment: get("environment")?,
                    target: get("target"),
                    previous: vec![],
                });
            } else if let Some(kind) = get("previous") {
                let kind = RrType::from(kind.as_str());
                let wildcard = get("wildcard").as_deref() == Some("true");
                if let (Some(name), Some(zone)) = (get("alias"), get("zone")) {
                    let record = alias(domain, kind, &name, &zone, get("health").as_deref() == Some("true"));
                    previous.push(Previous { record, instances: BTreeMap::new(), wildcard });
                } else if let Some(value) = get("value") {
                    let ttl = get("ttl").and_then(|ttl| ttl.parse().ok()).unwrap_or(TTL);
                    let instance = get("instance").map(|id| (value.clone(), id));
                    match previous.iter_mut().find(|previous| *previous.record.r#type() == kind) {
                        Some(found) => {
                            found.record.resource_records.get_or_insert_default().push(resource_record(&value));
                            found.instances.extend(instance);
                        }
                        None => {
                            let record = plain(domain, kind, ttl, &value);
                            previous.push(Previous { record, instances: instance.into_iter().collect(), wildcard });
                        }
                    }
                }
            }
        }
        ownership.map(|ownership| Ownership { previous, ..ownership })
    }
}

/// The ownership record says that an alias of this environment stands at the domain: its last step was done.
pub fn is_owned(owner: &Owner, environment: &str, domain: &str, standing: &Standing) -> bool {
    let ownership = standing.ownership.as_ref().and_then(|record| Ownership::parse(record, domain));
    ownership.is_some_and(|ownership| ownership.is_of(owner, environment) && ownership.target.is_some())
}

/// The edits, beside the end of the lock, with which nothing of ours is left at a domain that a wildcard served: its copies go,
/// and the wildcard serves the domain again. None as long as the validation record stands, as a name under which anything
/// stands is served by no wildcard. Where something of somebody else's stands there, the copies stay and are nobody's.
pub fn farewell(owner: &Owner, environment: &str, domain: &str, standing: &Standing) -> Vec<Edit> {
    let ownership = standing.ownership.as_ref().and_then(|record| Some((record, Ownership::parse(record, domain)?)));
    let Some((record, ownership)) = ownership else { return vec![] };
    let is_pointed = ownership.target.is_some() || !ownership.is_of(owner, environment);
    if is_pointed || standing.beneath.iter().any(|record| validates(record, domain)) {
        return vec![];
    }
    let (copies, others): (Vec<_>, Vec<_>) = standing.records.iter().partition(|record| ownership.has_copied(record));
    let alone = others.is_empty() && standing.beneath.is_empty();
    let going = copies.into_iter().filter(|_| alone).chain([record]);
    going.cloned().map(Edit::Delete).collect()
}

#[cfg(test)]
pub mod tests {
    use super::super::record::Edit;
    use super::*;
    use crate::spec::environment::Environment;

    const DOMAIN: &str = "api.example.com";
    const INSTANCE: &str = "203.0.113.7";

    pub fn a(value: &str) -> ResourceRecordSet {
        plain("api.example.com.", RrType::A, 300, value)
    }

    pub fn our_alias() -> ResourceRecordSet {
        alias("api.example.com.", RrType::A, "our-elb.amazonaws.com.", "ZELB", false)
    }

    pub fn owner() -> Owner {
        Environment::example().owner
    }

    pub fn owned(previous: Vec<ResourceRecordSet>) -> ResourceRecordSet {
        owned_by("albatross", "our-elb.amazonaws.com", previous)
    }

    pub fn owned_by(stack: &str, target: &str, previous: Vec<ResourceRecordSet>) -> ResourceRecordSet {
        let Owner { region, account, .. } = owner();
        let instances = [Target { id: "i-1".into(), addresses: vec![INSTANCE.into()], ..Target::default() }];
        let ownership = Ownership {
            stack: stack.into(),
            region: Some(region),
            account: Some(account),
            environment: "api-example-com".into(),
            target: Some(target.into()),
            previous: previous.iter().map(|record| Previous::of(record, &instances)).collect(),
        };
        ownership.record(DOMAIN)
    }

    pub fn summary(edits: &[Edit]) -> String {
        let words = edits.iter().map(|edit| match edit {
            Edit::Delete(record) => format!("delete {}", record.r#type()),
            Edit::Create(record) => format!("create {}", record.r#type()),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_long_ownership_value_is_split_and_read_back() {
        let long = format!("{}.example.net", "a".repeat(60)).repeat(4);
        let previous = vec![plain(DOMAIN, RrType::Cname, 60, &long)];
        let record = owned(previous.clone());
        assert!(
            record.resource_records().iter().all(|value| value.value().split("\" \"").all(|part| part.len() <= 257))
        );
        let read: Vec<_> = Ownership::parse(&record, DOMAIN).unwrap().previous;
        assert_eq!(read.into_iter().map(|previous| previous.record).collect::<Vec<_>>(), previous);
    }

    #[test]
    fn a_value_is_remembered_with_its_instance() {
        let instance =
            |id: &str, address: &str| Target { id: id.into(), addresses: vec![address.into()], ..Target::default() };
        let instances = [instance("i-1", "203.0.113.7"), instance("i-2", "2001:db8:10::a")];
        let mut v4 = a(INSTANCE);
        v4.resource_records.get_or_insert_default().push(resource_record("198.51.100.1"));
        let v6 = plain(DOMAIN, RrType::Aaaa, 300, "2001:0db8:0010::000a");
        let mut ownership = Ownership::parse(&owned(vec![]), DOMAIN).unwrap();
        ownership.previous = vec![Previous::of(&v4, &instances), Previous::of(&v6, &instances)];
        ownership.previous[1].wildcard = true;
        let read = Ownership::parse(&ownership.record(DOMAIN), DOMAIN).unwrap();
        assert_eq!(read.previous[0].instances, BTreeMap::from([(INSTANCE.to_owned(), "i-1".to_owned())]));
        assert_eq!(read.previous[1].instances.values().collect::<Vec<_>>(), ["i-2"]);
        assert_eq!(read.previous.iter().map(|previous| previous.wildcard).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn the_last_of_ours_leaves_the_domain_to_the_wildcard() {
        let ownership = || Ownership::of_copies(&owner(), "api-example-com", &[a(INSTANCE)]).record(DOMAIN);
        let validation = || plain("_0a.api.example.com.", RrType::Cname, 60, "_1.xlf.acm-validations.aws.");
        let theirs = || plain("x.api.example.com.", RrType::A, 60, "198.51.100.1");
        let mail = || plain("api.example.com.", RrType::Mx, 60, "10 mail.example.com");
        let left = |records: Vec<ResourceRecordSet>, ownership: ResourceRecordSet, beneath: Vec<ResourceRecordSet>| {
            let standing = Standing { records, ownership: Some(ownership), beneath, ..Standing::default() };
            summary(&farewell(&owner(), "api-example-com", DOMAIN, &standing))
        };
        assert_eq!(left(vec![a(INSTANCE)], ownership(), vec![]), "delete A, delete TXT");
        assert_eq!(left(vec![a(INSTANCE)], ownership(), vec![validation()]), "");
        assert_eq!(left(vec![a(INSTANCE)], ownership(), vec![theirs()]), "delete TXT");
        assert_eq!(left(vec![a(INSTANCE), mail()], ownership(), vec![]), "delete TXT");
        assert_eq!(left(vec![a("198.51.100.9")], ownership(), vec![]), "delete TXT");
        assert_eq!(left(vec![our_alias()], owned(vec![]), vec![]), "");
        assert_eq!(farewell(&owner(), "api-example-com", DOMAIN, &Standing::default()), []);
        let other = Standing { ownership: Some(ownership()), ..Standing::default() };
        assert_eq!(farewell(&owner(), "another", DOMAIN, &other), []);
    }

    #[test]
    fn region_and_account_belong_to_ownership() {
        let ownership = Ownership::parse(&owned(vec![]), DOMAIN).unwrap();
        assert!(ownership.is_of(&owner(), "api-example-com"));
        assert!(!ownership.is_of(&Owner { region: "eu-west-1".into(), ..owner() }, "api-example-com"));
        assert!(!ownership.is_of(&Owner { account: "210987654321".into(), ..owner() }, "api-example-com"));
        assert_eq!(
            ownership.described(),
            "environment api-example-com of stack albatross in us-east-1 of account 123456789012"
        );
        let older = txt(
            &names::ownership_record(DOMAIN),
            &["heritage=albatross stack=albatross environment=api-example-com target=our-elb.amazonaws.com".into()],
        );
        let older = Ownership::parse(&older, DOMAIN).unwrap();
        assert!(older.is_of(&owner(), "api-example-com"));
        assert_eq!(older.described(), "environment api-example-com of stack albatross");
    }

    #[test]
    fn a_plan_carries_records_whole() {
        let records =
            [our_alias(), owned(vec![a("203.0.113.7")]), alias("api.example.com", RrType::Aaaa, "x.org.", "Z35", true)];
        let edits: Vec<Edit> = records.into_iter().map(Edit::Delete).collect();
        let carried: Vec<Edit> = serde_json::from_str(&serde_json::to_string(&edits).unwrap()).unwrap();
        assert_eq!(carried, edits);
    }
}
