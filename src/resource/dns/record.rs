//! Record sets: read, written, carried from one function to the next, and changed in batches.

use std::net::IpAddr;

use aws_sdk_route53 as route53;
use route53::types::{AliasTarget, Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};
use serde::{Deserialize, Serialize};

use crate::error::{Call, Error, Result};
use crate::spec::ids::destination;

/// Seconds, of the records that we write: short, as the environment may be gone tonight.
pub const TTL: i64 = 60;

// --- Made and read -----------------------------------------------------------------------------------------------

/// A TXT value as Route 53 writes it: strings of at most 255 characters, each in quotes.
fn quoted(value: &str) -> String {
    let strings: Vec<&str> = value.as_bytes().chunks(255).map(|part| str::from_utf8(part).expect("ASCII")).collect();
    format!("\"{}\"", strings.join("\" \""))
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

/// The values of a TXT record set, without their quotes.
pub fn txt_values(record: &ResourceRecordSet) -> Vec<String> {
    record.resource_records().iter().map(|value| value.value().trim_matches('"').replace("\" \"", "")).collect()
}

/// A TXT record has a name of ours and says nothing of ours.
pub fn not_albatross(name: &str, zone: &str) -> Error {
    let problem = "it is not Albatross's; delete it if nothing needs it".into();
    Error::DnsRecordConflict { record: format!("{name} TXT"), zone: zone.into(), problem }
}

pub fn resource_record(value: &str) -> ResourceRecord {
    ResourceRecord::builder().value(value).build().expect("a value")
}

pub fn plain(name: &str, kind: RrType, ttl: i64, value: &str) -> ResourceRecordSet {
    ResourceRecordSet::builder()
        .name(name)
        .r#type(kind)
        .ttl(ttl)
        .resource_records(resource_record(value))
        .build()
        .expect("a name and a type")
}

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

/// A record's name as users write it: Route 53 answers with a trailing dot, and `\052` for `*`.
pub fn name_of(record: &ResourceRecordSet) -> String {
    record.name().trim_end_matches('.').to_ascii_lowercase().replace("\\052", "*")
}

pub fn is_named(record: &ResourceRecordSet, name: &str) -> bool {
    name_of(record) == name
}

/// Of the types that say where a name is served.
pub fn is_address(record: &ResourceRecordSet) -> bool {
    matches!(record.r#type(), RrType::A | RrType::Aaaa | RrType::Cname)
}

/// Whether a record of this type has such a value: an IPv4 address, an IPv6 address or a name.
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

/// A record for a message: `api.example.com A 203.0.113.7`.
pub fn describe(record: &ResourceRecordSet) -> String {
    let values: Vec<&str> = match record.alias_target() {
        Some(to) => vec!["alias", to.dns_name()],
        None => record.resource_records().iter().map(|value| value.value()).collect(),
    };
    format!("{} {} {}", name_of(record), record.r#type(), values.join(" "))
}

/// Whether it is a CNAME by which ACM validates a domain (ACM user guide, DNS validation).
pub fn validates(record: &ResourceRecordSet, domain: &str) -> bool {
    let name = name_of(record);
    let label = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    let is_label = label.is_some_and(|label| label.starts_with('_') && !label.contains('.'));
    let leads = |value: &str| destination(value).ends_with(".acm-validations.aws");
    let mut values = record.resource_records().iter().map(|value| value.value());
    is_label && *record.r#type() == RrType::Cname && values.any(leads)
}

pub fn listed(records: &[&ResourceRecordSet]) -> String {
    records.iter().map(|record| describe(record)).collect::<Vec<_>>().join("; ")
}

/// Record sets from a name on, or of all the zone, page by page as long as it `goes_on` after a page's last; and whether
/// more follow.
pub async fn read_from(
    client: &route53::Client,
    zone: &str,
    name: Option<&str>,
    mut goes_on: impl FnMut(&ResourceRecordSet) -> bool,
) -> Result<(Vec<ResourceRecordSet>, bool)> {
    let mut records = vec![];
    let mut call = client.list_resource_record_sets().hosted_zone_id(zone).set_start_record_name(name.map(Into::into));
    loop {
        let page = call.send().await.call("route53:ListResourceRecordSets")?;
        records.extend(page.resource_record_sets);
        if !page.is_truncated || !records.last().is_some_and(&mut goes_on) {
            return Ok((records, page.is_truncated));
        }
        call = client
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .set_start_record_name(page.next_record_name)
            .set_start_record_type(page.next_record_type)
            .set_start_record_identifier(page.next_record_identifier);
    }
}

// --- Batches -----------------------------------------------------------------------------------------------------

/// One step of an atomic batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Edit {
    Delete(#[serde(with = "carried")] ResourceRecordSet),
    Create(#[serde(with = "carried")] ResourceRecordSet),
}

impl Edit {
    pub fn record(&self) -> &ResourceRecordSet {
        match self {
            Edit::Delete(record) | Edit::Create(record) => record,
        }
    }

    /// What takes it back.
    pub fn undone(self) -> Edit {
        match self {
            Edit::Delete(record) => Edit::Create(record),
            Edit::Create(record) => Edit::Delete(record),
        }
    }
}

/// Edits without those of records that they create and delete again.
pub fn net(edits: Vec<Edit>) -> Vec<Edit> {
    let passing = |record: &ResourceRecordSet| {
        [Edit::Create(record.clone()), Edit::Delete(record.clone())].iter().all(|edit| edits.contains(edit))
    };
    let stays = |edit: &Edit| !matches!(edit, Edit::Create(record) | Edit::Delete(record) if passing(record));
    edits.iter().filter(|edit| stays(edit)).cloned().collect()
}

/// Whether two record sets of one name say the same, in whatever order and writing.
pub fn same(one: &ResourceRecordSet, other: &ResourceRecordSet) -> bool {
    let said = |record: &ResourceRecordSet| {
        let Carried { kind, ttl, values, alias, .. } = Carried::from(record);
        let mut values: Vec<String> = values.iter().map(|value| destination(value)).collect();
        values.sort();
        let alias = alias.map(|to| CarriedAlias { dns_name: destination(&to.dns_name), ..to });
        (
            kind,
            ttl,
            values,
            alias,
            record.set_identifier().map(str::to_owned),
            record.health_check_id().map(str::to_owned),
        )
    };
    said(one) == said(other)
}

/// A record set on its way from one function to the next, with the fields that ours have. Where somebody has given one more,
/// as a routing policy, Route 53 refuses to delete it without, and the next listing has it whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    name: String,
    kind: String,
    ttl: Option<i64>,
    values: Vec<String>,
    alias: Option<CarriedAlias>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CarriedAlias {
    dns_name: String,
    zone: String,
    health: bool,
}

impl From<&ResourceRecordSet> for Carried {
    fn from(record: &ResourceRecordSet) -> Self {
        let alias = record.alias_target().map(|alias| CarriedAlias {
            dns_name: alias.dns_name().into(),
            zone: alias.hosted_zone_id().into(),
            health: alias.evaluate_target_health(),
        });
        let values = record.resource_records().iter().map(|value| value.value().into()).collect();
        let (name, kind) = (record.name().into(), record.r#type().as_str().into());
        Carried { name, kind, ttl: record.ttl(), values, alias }
    }
}

impl From<&Carried> for ResourceRecordSet {
    fn from(carried: &Carried) -> Self {
        let Carried { name, kind, ttl, values, alias } = carried;
        let alias = alias.as_ref().map(|alias| {
            let target = AliasTarget::builder().dns_name(&alias.dns_name).hosted_zone_id(&alias.zone);
            target.evaluate_target_health(alias.health).build().expect("all fields")
        });
        let values: Vec<_> = values.iter().map(|value| resource_record(value)).collect();
        let record = ResourceRecordSet::builder().name(name).r#type(kind.as_str().into()).set_ttl(*ttl);
        let record = record.set_resource_records((!values.is_empty()).then_some(values)).set_alias_target(alias);
        record.build().expect("a name and a type")
    }
}

mod carried {
    use super::{Carried, ResourceRecordSet};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(record: &ResourceRecordSet, to: S) -> Result<S::Ok, S::Error> {
        Carried::from(record).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ResourceRecordSet, D::Error> {
        Carried::deserialize(from).map(|carried| ResourceRecordSet::from(&carried))
    }
}

/// Carries out a batch: all of it or nothing. The comment has no name of anything in it, as a name may be as long as the 256
/// characters that Route 53 takes (API reference, ChangeBatch); the records themselves tell of which domain it is.
///
/// # Errors
/// [`Error::AwsUnavailable`] where a record has changed since it was read: the next try plans anew.
pub async fn apply(client: &route53::Client, zone: &str, edits: &[Edit], comment: &'static str) -> Result<()> {
    let changes = edits.iter().map(|edit| {
        let (action, record) = match edit {
            Edit::Delete(record) => (ChangeAction::Delete, record),
            Edit::Create(record) => (ChangeAction::Create, record),
        };
        Change::builder().action(action).resource_record_set(record.clone()).build().expect("an action and a record")
    });
    let batch = ChangeBatch::builder().comment(comment).set_changes(Some(changes.collect())).build().expect("changes");
    let answer = client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await;
    match answer.call("route53:ChangeResourceRecordSets") {
        Err(Error::AwsRefused(refusal)) if tells_of_change(&refusal.message) => Err(Error::AwsUnavailable(refusal)),
        other => other.map(drop),
    }
}

/// [`apply`] has failed as a record has changed since it was read.
pub fn is_outdated(error: &Error) -> bool {
    matches!(error, Error::AwsUnavailable(refusal) if tells_of_change(&refusal.message))
}

/// Route 53 tells these cases of `InvalidChangeBatch` apart in its message alone.
fn tells_of_change(message: &str) -> bool {
    ["already exists", "was not found", "do not match the current values"].iter().any(|text| message.contains(text))
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
