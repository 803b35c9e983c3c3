//! The validation CNAMEs, which prove to ACM that the user controls a domain.

use aws_sdk_route53 as route53;
use route53::types::{ResourceRecordSet, RrType};

use super::batch::{Edit, apply, is_outdated};
use super::record::{TTL, describe, is_named, plain, values};
use crate::error::{Call, Error, Result};
use crate::kind::Kind;
use crate::spec::ids::{ValidationRecord, Zone};
use crate::step::{Outcome, Step};

/// What makes a validation CNAME stand.
#[derive(Debug)]
pub struct Difference {
    row: Step,
    pub edits: Vec<Edit>,
}

/// `found` is what stands at the record's name.
///
/// # Errors
/// [`Error::DnsRecordConflict`] where its name holds another value.
pub fn differ(zone: &Zone, record: &ValidationRecord, found: Option<&ResourceRecordSet>) -> Result<Difference> {
    let (outcome, edits) = match found {
        Some(found) if has_value(found, &record.value) => (Outcome::Found, vec![]),
        Some(found) => {
            return Err(Error::DnsRecordConflict {
                record: describe(found),
                zone: zone.id.clone(),
                problem: format!("ACM needs the value {} there; delete the record if nothing needs it", record.value),
            });
        }
        None => (Outcome::Created, vec![Edit::Create(plain(&record.name, RrType::Cname, TTL, &record.value))]),
    };
    Ok(Difference { row: Step::new(Kind::ValidationRecord, &record.name, outcome), edits })
}

impl Difference {
    pub fn step(&self) -> Step {
        self.row.clone()
    }

    /// Writes the CNAME; what stands is read only where Route 53 refuses that.
    ///
    /// # Errors
    /// As [`differ`].
    pub async fn apply(&mut self, client: &route53::Client, zone: &Zone, record: &ValidationRecord) -> Result<()> {
        match apply(client, &zone.id, &self.edits, "Albatross: validate a certificate").await {
            Err(error) if is_outdated(&error) => {
                *self = differ(zone, record, find(client, zone, record).await?.as_ref())?;
                // It may have been taken away since.
                if self.edits.is_empty() { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }
}

/// Reads the CNAME at the record's name.
pub async fn find(
    client: &route53::Client,
    zone: &Zone,
    record: &ValidationRecord,
) -> Result<Option<ResourceRecordSet>> {
    cname(client, &zone.id, &record.name).await
}

fn has_value(record: &ResourceRecordSet, value: &str) -> bool {
    values(record).any(|has| has.trim_end_matches('.').eq_ignore_ascii_case(value))
}

/// Reads the CNAME of exactly this name.
async fn cname(client: &route53::Client, zone: &str, name: &str) -> Result<Option<ResourceRecordSet>> {
    let call = client
        .list_resource_record_sets()
        .hosted_zone_id(zone)
        .start_record_name(name)
        .start_record_type(RrType::Cname);
    let page = call.max_items(1).send().await.call("route53:ListResourceRecordSets")?;
    Ok(page.resource_record_sets.into_iter().find(|record| is_named(record, name) && *record.r#type() == RrType::Cname))
}

/// Deletes a validation CNAME that holds ACM's value. One that somebody has changed stays. Safe to repeat.
pub async fn remove_cname(client: &route53::Client, zone: &str, record: &ValidationRecord) -> Result<()> {
    match cname(client, zone, &record.name).await? {
        Some(found) if has_value(&found, &record.value) => {
            apply(client, zone, &[Edit::Delete(found)], "Albatross: its certificate is deleted").await
        }
        _ => Ok(()),
    }
}
