//! Whose the records of a domain are: the ownership record, and what goes and comes back when its environment ends.

use std::collections::HashSet;

use aws_sdk_route53 as route53;
use route53::types::{ResourceRecordSet, RrType};

use super::record::{
    Edit, Standing, TTL, alias, is_address, listed, plain, points_at, resource_record, txt, txt_values,
};

/// The name of the TXT record that says whose the records of a domain are.
pub fn ownership_name(domain: &str) -> String {
    format!("_albatross.{domain}")
}

/// Whose the records of a domain are, and what they replaced: the content of the ownership record.
///
/// One TXT value per line of it: `heritage=albatross stack=… environment=… target=<load balancer's DNS name>`, then
/// for each value of a replaced record `previous=A ttl=300 value=203.0.113.7`, or for a replaced alias
/// `previous=A alias=<DNS name> zone=<its hosted zone> health=false`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ownership {
    pub stack: String,
    pub environment: String,
    /// The DNS name that our alias points at.
    pub target: String,
    pub previous: Vec<ResourceRecordSet>,
}

impl Ownership {
    pub fn is_of(&self, stack: &str, environment: &str) -> bool {
        self.stack == stack && self.environment == environment
    }

    fn values(&self) -> Vec<String> {
        let mut values = vec![format!(
            "heritage=albatross stack={} environment={} target={}",
            self.stack, self.environment, self.target
        )];
        for record in &self.previous {
            let kind = record.r#type();
            match record.alias_target() {
                Some(to) => values.push(format!(
                    "previous={kind} alias={} zone={} health={}",
                    to.dns_name(),
                    to.hosted_zone_id(),
                    to.evaluate_target_health()
                )),
                None => values.extend(record.resource_records().iter().map(|value| {
                    format!("previous={kind} ttl={} value={}", record.ttl().unwrap_or(TTL), value.value())
                })),
            }
        }
        values
    }

    pub fn record(&self, domain: &str) -> ResourceRecordSet {
        txt(&ownership_name(domain), &self.values())
    }

    /// `None` where the record is not one of Albatross.
    pub fn parse(record: &ResourceRecordSet, domain: &str) -> Option<Ownership> {
        let fields = |line: &str| -> Vec<(String, String)> {
            line.split(' ')
                .filter_map(|field| field.split_once('='))
                .map(|(key, value)| (key.into(), value.into()))
                .collect()
        };
        let get = |fields: &[(String, String)], key: &str| {
            fields.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone())
        };
        let mut ownership = None;
        let mut previous: Vec<ResourceRecordSet> = vec![];
        for fields in txt_values(record).iter().map(|line| fields(line)) {
            if get(&fields, "heritage").as_deref() == Some("albatross") {
                ownership = Some(Ownership {
                    stack: get(&fields, "stack")?,
                    environment: get(&fields, "environment")?,
                    target: get(&fields, "target")?,
                    previous: vec![],
                });
            } else if let Some(kind) = get(&fields, "previous") {
                let kind = RrType::from(kind.as_str());
                if let (Some(dns_name), Some(zone)) = (get(&fields, "alias"), get(&fields, "zone")) {
                    previous.push(alias(
                        domain,
                        kind,
                        &dns_name,
                        &zone,
                        get(&fields, "health").as_deref() == Some("true"),
                    ));
                } else if let Some(value) = get(&fields, "value") {
                    let ttl = get(&fields, "ttl").and_then(|ttl| ttl.parse().ok()).unwrap_or(TTL);
                    match previous.iter_mut().find(|record| *record.r#type() == kind) {
                        Some(record) => record.resource_records.get_or_insert_default().push(resource_record(&value)),
                        None => previous.push(plain(domain, kind, ttl, &value)),
                    }
                }
            }
        }
        ownership.map(|ownership| Ownership { previous, ..ownership })
    }
}

/// The ownership record says that the domain is this environment's: its last step was done.
pub fn is_owned(stack: &str, environment: &str, domain: &str, standing: &Standing) -> bool {
    let ownership = standing.ownership.as_ref().and_then(|record| Ownership::parse(record, domain));
    ownership.is_some_and(|ownership| ownership.is_of(stack, environment))
}

/// What teardown does to the records of a domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Restoration {
    pub edits: Vec<Edit>,
    /// One line for the user.
    pub reason: String,
}

/// The edits that take our alias away and put back what stood before; `None` where we own nothing at the domain.
///
/// An alias that was changed by hand since is somebody's: it stays, and only the ownership record goes. A record that
/// points at an address or name in `going` is not put back.
pub fn restore(
    stack: &str,
    environment: &str,
    domain: &str,
    standing: &Standing,
    going: &HashSet<String>,
) -> Option<Restoration> {
    let record = standing.ownership.as_ref()?;
    let ownership = Ownership::parse(record, domain).filter(|ownership| ownership.is_of(stack, environment))?;
    let (ours, others): (Vec<_>, Vec<_>) = standing
        .records
        .iter()
        .filter(|record| is_address(record))
        .partition(|record| points_at(record, &ownership.target));
    let leads_nowhere = |record: &ResourceRecordSet| {
        record.resource_records().iter().any(|value| going.contains(value.value().trim_end_matches('.')))
    };
    let (lost, previous): (Vec<_>, Vec<_>) = ownership.previous.iter().partition(|record| leads_nowhere(record));
    let mut edits: Vec<Edit> = ours.into_iter().cloned().map(Edit::Delete).collect();
    let mut reasons = vec![];
    if !others.is_empty() {
        reasons.push(format!("changed by hand since, that stays: {}", listed(&others)));
    } else {
        edits.extend(previous.iter().map(|record| Edit::Create((*record).clone())));
        if !previous.is_empty() {
            reasons.push(format!("put back: {}", listed(&previous)));
        }
        if !lost.is_empty() {
            reasons.push(format!("not put back, as what it points at goes too: {}", listed(&lost)));
        }
    }
    if reasons.is_empty() {
        reasons.push("nothing stood there before".into());
    }
    edits.push(Edit::Delete(record.clone()));
    Some(Restoration { edits, reason: reasons.join("; ") })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const DOMAIN: &str = "api.example.com";
    const INSTANCE: &str = "203.0.113.7";

    pub fn a(value: &str) -> ResourceRecordSet {
        plain("api.example.com.", RrType::A, 300, value)
    }

    pub fn our_alias() -> ResourceRecordSet {
        alias("api.example.com.", RrType::A, "our-elb.amazonaws.com.", "ZELB", false)
    }

    pub fn owned(previous: Vec<ResourceRecordSet>) -> ResourceRecordSet {
        owned_by("albatross", "our-elb.amazonaws.com", previous)
    }

    pub fn owned_by(stack: &str, target: &str, previous: Vec<ResourceRecordSet>) -> ResourceRecordSet {
        let ownership =
            Ownership { stack: stack.into(), environment: "api-example-com".into(), target: target.into(), previous };
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
        assert_eq!(Ownership::parse(&record, DOMAIN).unwrap().previous, previous);
    }

    fn restored(standing: &Standing) -> Option<Restoration> {
        restore("albatross", "api-example-com", DOMAIN, standing, &HashSet::new())
    }

    #[test]
    fn a_record_whose_address_goes_is_not_put_back() {
        let standing = Standing { records: vec![our_alias()], ownership: Some(owned(vec![a(INSTANCE)])), lock: None };
        let going = HashSet::from([INSTANCE.to_owned()]);
        let restoration = restore("albatross", "api-example-com", DOMAIN, &standing, &going).unwrap();
        assert_eq!(summary(&restoration.edits), "delete A, delete TXT");
        assert!(restoration.reason.contains(INSTANCE), "{}", restoration.reason);
    }

    #[test]
    fn restore_leaves_what_was_changed_by_hand() {
        let by_hand =
            Standing { records: vec![a("198.51.100.1")], ownership: Some(owned(vec![a(INSTANCE)])), lock: None };
        assert_eq!(summary(&restored(&by_hand).unwrap().edits), "delete TXT");
        let others =
            Standing { records: vec![our_alias()], ownership: Some(owned_by("other", "x", vec![])), lock: None };
        assert_eq!(restored(&others), None);
    }
}
