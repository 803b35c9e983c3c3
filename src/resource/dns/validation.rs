//! The validation CNAMEs, which prove to ACM that the user controls a domain.

use aws_sdk_route53 as route53;
use route53::types::{ResourceRecordSet, RrType};

use super::batch::{Edit, apply, is_outdated};
use super::record::{TTL, describe, is_named, plain, values};
use crate::error::{Call, Error, Result};
use crate::kind::Kind;
use crate::spec::ids::{ValidationRecord, Zone};
use crate::step::{Outcome, Step};

/// Writes a validation CNAME, once.
///
/// # Errors
/// [`Error::DnsRecordConflict`] where its name holds another value.
pub async fn ensure_cname(client: &route53::Client, zone: &Zone, record: &ValidationRecord) -> Result<Step> {
    let create = [Edit::Create(validation(record))];
    match apply(client, &zone.id, &create, "Albatross: validate a certificate").await {
        Ok(()) => Ok(Step::new(Kind::ValidationRecord, &record.name, Outcome::Created)),
        Err(error) if is_outdated(&error) => match plan_cname(client, zone, record).await? {
            (step, edits) if edits.is_empty() => Ok(step),
            // Somebody has deleted it since.
            _ => Err(error),
        },
        Err(other) => Err(other),
    }
}

fn validation(record: &ValidationRecord) -> ResourceRecordSet {
    plain(&record.name, RrType::Cname, TTL, &record.value)
}

/// Returns what [`ensure_cname`] would do, and the edits for it.
///
/// # Errors
/// [`Error::DnsRecordConflict`] where its name holds another value.
pub async fn plan_cname(client: &route53::Client, zone: &Zone, record: &ValidationRecord) -> Result<(Step, Vec<Edit>)> {
    let (outcome, edits) = match cname(client, &zone.id, &record.name).await? {
        Some(found) if has_value(&found, &record.value) => (Outcome::Found, vec![]),
        Some(found) => {
            return Err(Error::DnsRecordConflict {
                record: describe(&found),
                zone: zone.id.clone(),
                problem: format!("ACM needs the value {} there; delete the record if nothing needs it", record.value),
            });
        }
        None => (Outcome::Created, vec![Edit::Create(validation(record))]),
    };
    Ok((Step::new(Kind::ValidationRecord, &record.name, outcome), edits))
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
