//! What stands at a domain: its own record sets, the ownership record and the lock.

use aws_sdk_route53 as route53;
use route53::types::{ResourceRecordSet, RrType};

use super::record::{is_named, name_of, read_from};
use crate::error::Result;
use crate::spec::names;

/// What stands at a domain.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// All record sets of the domain's own name.
    pub records: Vec<ResourceRecordSet>,
    /// The record set of [`names::ownership_record`], where it is a TXT.
    pub ownership: Option<ResourceRecordSet>,
    /// The record set of [`names::lock_record`], where it is a TXT.
    pub lock: Option<ResourceRecordSet>,
    /// Others under the domain; not all where there are many.
    pub beneath: Vec<ResourceRecordSet>,
    /// What keeps the domain served without us, as a wildcard does, where the ownership record remembers one.
    pub served: Vec<ResourceRecordSet>,
}

impl Standing {
    /// As it stands after a batch has created these.
    pub fn with(mut self, made: impl IntoIterator<Item = ResourceRecordSet>) -> Self {
        for record in made {
            if *record.r#type() == RrType::Txt {
                self.ownership = Some(record);
            } else {
                self.records.push(record);
            }
        }
        self
    }

    /// Of record sets that are listed around the domain.
    pub fn of(mut records: Vec<ResourceRecordSet>, domain: &str) -> Self {
        let txt = |name: String| {
            let is = |record: &&ResourceRecordSet| is_named(record, &name) && *record.r#type() == RrType::Txt;
            records.iter().find(is).cloned()
        };
        let (ownership, lock) = (txt(names::ownership_record(domain)), txt(names::lock_record(domain)));
        let is_ours = |record: &ResourceRecordSet| [&ownership, &lock].contains(&&Some(record.clone()));
        let under = format!(".{domain}");
        let beneath = records.iter().filter(|record| name_of(record).ends_with(&under) && !is_ours(record));
        let beneath = beneath.cloned().collect();
        records.retain(|record| is_named(record, domain));
        Standing { records, ownership, lock, beneath, served: vec![] }
    }
}

/// The record sets at a domain and its ownership record's name, and some of those between and after them: one call where the
/// zone has few names under the domain, else two.
pub async fn at(client: &route53::Client, zone: &str, domain: &str) -> Result<Vec<ResourceRecordSet>> {
    let owner = names::ownership_record(domain);
    // Names are listed by their labels from the right, so what is under a name follows it.
    let (mut records, more) = read_from(client, zone, Some(domain), |last| is_named(last, domain)).await?;
    if more {
        let of_ours = |last: &ResourceRecordSet| is_named(last, &owner);
        records.extend(read_from(client, zone, Some(&owner), of_ours).await?.0);
    }
    Ok(records)
}
