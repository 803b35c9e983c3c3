//! The ownership record: whose the records of a domain are, and what they replaced. No I/O.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_route53::types::{ResourceRecordSet, RrType};

use super::domain_records::DomainRecords;
use super::record::{TTL, alias, plain, resource_record, same, txt, txt_values, values};
use crate::owner::Owner;
use crate::spec::ids::Target;
use crate::spec::names;

/// Whose the records of a domain are, and what they replaced: the content of the ownership record.
///
/// Each TXT value is one line: `heritage=albatross stack=… region=… account=… environment=… target=<load balancer's DNS
/// name>`, then for each value of a replaced record `previous=A ttl=300 value=203.0.113.7 instance=i-…`, or for a replaced
/// alias `previous=A alias=<DNS name> zone=<its hosted zone> health=false`. `wildcard=true` ends the lines of copies.
#[derive(Debug, Clone, PartialEq)]
pub struct Ownership {
    pub stack: String,
    /// `None` in a record that an older version wrote: it named neither region nor account.
    pub region: Option<String>,
    pub account: Option<String>,
    pub environment: String,
    /// The DNS name to which our alias points; `None` where no alias of ours stands.
    pub target: Option<String>,
    pub remembered: Vec<Remembered>,
}

/// A remembered record: one that stood where ours stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    pub record: ResourceRecordSet,
    /// For each of its values that was an address of one of the environment's instances, the id of that instance.
    pub instances: BTreeMap<String, String>,
    /// The record never stood at the domain itself: a wildcard record served the domain, and this is a copy of it.
    pub wildcard: bool,
}

impl Remembered {
    /// Remembers a record that stands, with the instances to which its values lead.
    pub fn of(record: &ResourceRecordSet, instances: &[Target]) -> Self {
        Remembered { record: record.clone(), instances: BTreeMap::new(), wildcard: false }.led_to(instances)
    }

    /// Adds the instances to which the values lead now, where none is known from before.
    pub fn led_to(mut self, instances: &[Target]) -> Self {
        for value in values(&self.record) {
            if let Some(holder) = instances.iter().find(|instance| instance.has(value)) {
                self.instances.entry(value.to_owned()).or_insert_with(|| holder.id.clone());
            }
        }
        self
    }

    /// Writes the lines of the ownership record.
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
        values(&self.record).map(line).collect()
    }

    /// Reads a line of the ownership record into `remembered`: the lines of one type are values of one record.
    fn read(line: &Line, domain: &str, remembered: &mut Vec<Remembered>) {
        let Some(kind) = line.get("previous").map(|kind| RrType::from(*kind)) else { return };
        let wildcard = line.get("wildcard") == Some(&"true");
        if let (Some(name), Some(zone)) = (line.get("alias"), line.get("zone")) {
            let record = alias(domain, kind, name, zone, line.get("health") == Some(&"true"));
            remembered.push(Remembered { record, instances: BTreeMap::new(), wildcard });
        } else if let Some(value) = line.get("value") {
            let instance = line.get("instance").map(|id| ((*value).to_owned(), (*id).to_owned()));
            match remembered.iter_mut().find(|one| *one.record.r#type() == kind) {
                Some(found) => {
                    found.record.resource_records.get_or_insert_default().push(resource_record(value));
                    found.instances.extend(instance);
                }
                None => {
                    let ttl = line.get("ttl").and_then(|ttl| ttl.parse().ok()).unwrap_or(TTL);
                    let record = plain(domain, kind, ttl, value);
                    remembered.push(Remembered { record, instances: instance.into_iter().collect(), wildcard });
                }
            }
        }
    }
}

/// The fields of one line, by their names.
type Line<'a> = HashMap<&'a str, &'a str>;

impl Ownership {
    /// Claims copies of a wildcard's records, before any alias of ours stands.
    pub fn of_copies(owner: &Owner, environment: &str, copies: &[ResourceRecordSet]) -> Self {
        let Owner { stack, region, account } = owner.clone();
        let remembered = copies.iter().map(|copy| Remembered { wildcard: true, ..Remembered::of(copy, &[]) }).collect();
        let (region, account, environment) = (Some(region), Some(account), environment.into());
        Ownership { stack, region, account, environment, target: None, remembered }
    }

    /// Reads the ownership record among the records at a domain; `None` where none stands, or it is not Albatross's.
    pub fn at(domain: &str, at_domain: &DomainRecords) -> Option<Self> {
        Ownership::parse(at_domain.ownership.as_ref()?, domain)
    }

    /// Reads an ownership record; `None` where it is not Albatross's.
    pub fn parse(record: &ResourceRecordSet, domain: &str) -> Option<Self> {
        let mut ownership = None;
        let mut remembered: Vec<Remembered> = vec![];
        for text in &txt_values(record) {
            let line: Line = text.split(' ').filter_map(|field| field.split_once('=')).collect();
            let get = |key: &str| line.get(key).map(|value| (*value).to_owned());
            if line.get("heritage") == Some(&"albatross") {
                ownership = Some(Ownership {
                    stack: get("stack")?,
                    region: get("region"),
                    account: get("account"),
                    environment: get("environment")?,
                    target: get("target"),
                    remembered: vec![],
                });
            } else {
                Remembered::read(&line, domain, &mut remembered);
            }
        }
        ownership.map(|ownership| Ownership { remembered, ..ownership })
    }

    /// Writes the ownership record of a domain.
    pub fn record(&self, domain: &str) -> ResourceRecordSet {
        let head = [
            ("heritage", Some("albatross")),
            ("stack", Some(self.stack.as_str())),
            ("region", self.region.as_deref()),
            ("account", self.account.as_deref()),
            ("environment", Some(self.environment.as_str())),
            ("target", self.target.as_deref()),
        ];
        let fields = head.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let mut lines = vec![fields.collect::<Vec<_>>().join(" ")];
        lines.extend(self.remembered.iter().flat_map(Remembered::lines));
        txt(&names::ownership_record(domain), &lines)
    }

    /// Whether the records are those of this environment. A record that names no region or account counts as this owner's.
    pub fn is_of(&self, owner: &Owner, environment: &str) -> bool {
        let here = |says: &Option<String>, own: &String| says.as_ref().is_none_or(|says| says == own);
        self.stack == owner.stack
            && self.environment == environment
            && here(&self.region, &owner.region)
            && here(&self.account, &owner.account)
    }

    /// Describes the owner for a message: `environment api of stack albatross in us-east-1 of account 123456789012`.
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

    /// Whether copies of a wildcard's records are remembered.
    pub fn has_copies(&self) -> bool {
        self.remembered.iter().any(|one| one.wildcard)
    }

    /// Whether a record at the domain is a remembered copy of a wildcard's.
    pub fn has_copied(&self, record: &ResourceRecordSet) -> bool {
        self.remembered.iter().any(|one| one.wildcard && same(&one.record, record))
    }
}

/// Whether the ownership record says that an alias of this environment stands at the domain: then the environment's last
/// step was done.
pub fn is_owned(owner: &Owner, environment: &str, domain: &str, at_domain: &DomainRecords) -> bool {
    Ownership::at(domain, at_domain)
        .is_some_and(|ownership| ownership.is_of(owner, environment) && ownership.target.is_some())
}

#[cfg(test)]
pub mod tests {
    use super::super::batch::Edit;
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

    pub fn owned(remembered: Vec<ResourceRecordSet>) -> ResourceRecordSet {
        owned_by("albatross", "our-elb.amazonaws.com", remembered)
    }

    pub fn owned_by(stack: &str, target: &str, remembered: Vec<ResourceRecordSet>) -> ResourceRecordSet {
        let Owner { region, account, .. } = owner();
        let instances = [Target { id: "i-1".into(), addresses: vec![INSTANCE.into()], ..Target::default() }];
        let ownership = Ownership {
            stack: stack.into(),
            region: Some(region),
            account: Some(account),
            environment: "api-example-com".into(),
            target: Some(target.into()),
            remembered: remembered.iter().map(|record| Remembered::of(record, &instances)).collect(),
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
        let replaced = vec![plain(DOMAIN, RrType::Cname, 60, &long)];
        let record = owned(replaced.clone());
        assert!(
            record.resource_records().iter().all(|value| value.value().split("\" \"").all(|part| part.len() <= 257))
        );
        let read: Vec<_> = Ownership::parse(&record, DOMAIN).unwrap().remembered;
        assert_eq!(read.into_iter().map(|one| one.record).collect::<Vec<_>>(), replaced);
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
        ownership.remembered = vec![Remembered::of(&v4, &instances), Remembered::of(&v6, &instances)];
        ownership.remembered[1].wildcard = true;
        let read = Ownership::parse(&ownership.record(DOMAIN), DOMAIN).unwrap();
        assert_eq!(read.remembered[0].instances, BTreeMap::from([(INSTANCE.to_owned(), "i-1".to_owned())]));
        assert_eq!(read.remembered[1].instances.values().collect::<Vec<_>>(), ["i-2"]);
        assert_eq!(read.remembered.iter().map(|one| one.wildcard).collect::<Vec<_>>(), [false, true]);
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
