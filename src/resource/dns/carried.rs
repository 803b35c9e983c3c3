//! Record sets as one function hands them to the next: the SDK's own type has no JSON. No I/O.

use aws_sdk_route53::types::{AliasTarget, ResourceRecordSet};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::record::{resource_record, values};

/// A record set as one function hands it to the next, with the fields that Albatross's records have. A record to which
/// somebody has given another field, such as a routing policy, arrives without it: Route 53 then refuses to delete the record,
/// and the next listing shows it whole.
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
        let values = values(record).map(Into::into).collect();
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

/// Writes and reads a record set as [`Carried`], for fields with `#[serde(with = "carried")]`.
pub fn serialize<S: Serializer>(record: &ResourceRecordSet, to: S) -> Result<S::Ok, S::Error> {
    Carried::from(record).serialize(to)
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ResourceRecordSet, D::Error> {
    Carried::deserialize(from).map(|carried| ResourceRecordSet::from(&carried))
}
