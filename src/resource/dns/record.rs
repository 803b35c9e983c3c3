//! Record sets of Route 53: built, read and compared. No I/O.

use std::net::IpAddr;

use aws_sdk_route53::types::{AliasTarget, ResourceRecord, ResourceRecordSet, RrType};

use crate::error::Error;
use crate::spec::ids::destination;

/// The time to live of the records that Albatross writes, in seconds: short, as the environment may be gone tonight.
pub const TTL: i64 = 60;

// --- Built -------------------------------------------------------------------------------------------------------

pub fn resource_record(value: &str) -> ResourceRecord {
    ResourceRecord::builder().value(value).build().expect("a value")
}

/// A record set of one value; `ttl` is in seconds.
pub fn plain(name: &str, kind: RrType, ttl: i64, value: &str) -> ResourceRecordSet {
    ResourceRecordSet::builder()
        .name(name)
        .r#type(kind)
        .ttl(ttl)
        .resource_records(resource_record(value))
        .build()
        .expect("a name and a type")
}

/// An alias to a DNS name, which lies in the hosted zone of id `zone`.
pub fn alias(name: &str, kind: RrType, dns_name: &str, zone: &str, evaluate_target_health: bool) -> ResourceRecordSet {
    let target =
        AliasTarget::builder().dns_name(dns_name).hosted_zone_id(zone).evaluate_target_health(evaluate_target_health);
    ResourceRecordSet::builder()
        .name(name)
        .r#type(kind)
        .alias_target(target.build().expect("all fields"))
        .build()
        .expect("a name and a type")
}

/// A TXT record set of these values.
pub fn txt(name: &str, values: &[String]) -> ResourceRecordSet {
    ResourceRecordSet::builder()
        .name(name)
        .r#type(RrType::Txt)
        .ttl(TTL)
        .set_resource_records(Some(values.iter().map(|value| resource_record(&quoted(value))).collect()))
        .build()
        .expect("a name and a type")
}

/// A TXT value as Route 53 writes it: strings of at most 255 characters, each in quotes.
fn quoted(value: &str) -> String {
    let strings: Vec<&str> = value.as_bytes().chunks(255).map(|part| str::from_utf8(part).expect("ASCII")).collect();
    format!("\"{}\"", strings.join("\" \""))
}

// --- Read --------------------------------------------------------------------------------------------------------

/// Returns the values of a record set; an alias has none.
pub fn values(record: &ResourceRecordSet) -> impl Iterator<Item = &str> {
    record.resource_records().iter().map(|value| value.value())
}

/// Returns the values of a TXT record set, without their quotes.
pub fn txt_values(record: &ResourceRecordSet) -> Vec<String> {
    values(record).map(|value| value.trim_matches('"').replace("\" \"", "")).collect()
}

/// Returns a record's name as users write it: Route 53 answers with a trailing dot, and `\052` for `*`.
pub fn name_of(record: &ResourceRecordSet) -> String {
    record.name().trim_end_matches('.').to_ascii_lowercase().replace("\\052", "*")
}

pub fn is_named(record: &ResourceRecordSet, name: &str) -> bool {
    name_of(record) == name
}

/// Whether a record is of a type that says where a name is served.
pub fn is_address(record: &ResourceRecordSet) -> bool {
    matches!(record.r#type(), RrType::A | RrType::Aaaa | RrType::Cname)
}

/// Whether a record has a routing policy or a health check: others of the same name and type may stand beside it.
pub fn is_routed(record: &ResourceRecordSet) -> bool {
    record.set_identifier().is_some() || record.health_check_id().is_some()
}

/// Whether records of type `kind` hold such a value: an IPv4 address, an IPv6 address or a name.
pub fn is_of_kind(destination: &str, kind: &RrType) -> bool {
    match destination.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => *kind == RrType::A,
        Ok(IpAddr::V6(_)) => *kind == RrType::Aaaa,
        Err(_) => *kind == RrType::Cname,
    }
}

/// Whether an alias leads to this DNS name. The console writes `dualstack.` before a load balancer's name, which leads to
/// the same addresses (Route 53 developer guide, values for alias records).
pub fn points_at(record: &ResourceRecordSet, dns_name: &str) -> bool {
    let plain = |name: &str| {
        let name = destination(name);
        name.strip_prefix("dualstack.").map(Into::into).unwrap_or(name)
    };
    record.alias_target().is_some_and(|to| plain(to.dns_name()) == plain(dns_name))
}

/// Whether a record is a CNAME by which ACM validates the domain (ACM user guide, DNS validation).
pub fn validates(record: &ResourceRecordSet, domain: &str) -> bool {
    let name = name_of(record);
    let label = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    let is_label = label.is_some_and(|label| label.starts_with('_') && !label.contains('.'));
    let leads = |value: &str| destination(value).ends_with(".acm-validations.aws");
    is_label && *record.r#type() == RrType::Cname && values(record).any(leads)
}

/// Whether two record sets of one name say the same: the order of the values does not matter, nor does how names and
/// addresses are written.
pub fn same(one: &ResourceRecordSet, other: &ResourceRecordSet) -> bool {
    let content = |record: &ResourceRecordSet| {
        let mut values: Vec<String> = values(record).map(destination).collect();
        values.sort();
        let alias = record
            .alias_target()
            .map(|to| (destination(to.dns_name()), to.hosted_zone_id().to_owned(), to.evaluate_target_health()));
        let (set, health) = (record.set_identifier().map(str::to_owned), record.health_check_id().map(str::to_owned));
        (record.r#type().clone(), record.ttl(), values, alias, set, health)
    };
    content(one) == content(other)
}

// --- Described ---------------------------------------------------------------------------------------------------

/// Describes a record for a message: `api.example.com A 203.0.113.7`.
pub fn describe(record: &ResourceRecordSet) -> String {
    let values: Vec<&str> = match record.alias_target() {
        Some(to) => vec!["alias", to.dns_name()],
        None => values(record).collect(),
    };
    format!("{} {} {}", name_of(record), record.r#type(), values.join(" "))
}

/// Describes several records for a message.
pub fn describe_all<'a>(records: impl IntoIterator<Item = &'a ResourceRecordSet>) -> String {
    records.into_iter().map(describe).collect::<Vec<_>>().join("; ")
}

/// The error for a TXT record that has a name of Albatross's and a text of somebody else's.
pub fn not_albatross(name: &str, zone: &str) -> Error {
    let problem = "it is not Albatross's; delete it if nothing needs it".into();
    Error::DnsRecordConflict { record: format!("{name} TXT"), zone: zone.into(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_writes_dualstack_before_a_load_balancers_name() {
        let to = |name: &str| alias("api.example.com", RrType::A, name, "ZELB", true);
        let own = "api-elb-1.us-east-1.elb.amazonaws.com";
        assert!(points_at(&to("dualstack.api-elb-1.us-east-1.elb.amazonaws.com."), own));
        assert!(points_at(&to("DualStack.API-elb-1.us-east-1.elb.amazonaws.com"), own));
        assert!(points_at(&to(own), "dualstack.api-elb-1.us-east-1.elb.amazonaws.com"));
        assert!(!points_at(&to("dualstack.other-elb-1.us-east-1.elb.amazonaws.com"), own));
    }
}
