//! The records that stand at a domain: its own, the ownership record and the lock record. No I/O.

use aws_sdk_route53::types::{ResourceRecordSet, RrType};

use super::record::{is_named, name_of};
use crate::spec::names;

#[derive(Debug, Clone, Default)]
pub struct DomainRecords {
    /// All record sets of the domain's own name.
    pub records: Vec<ResourceRecordSet>,
    /// The record set of [`names::ownership_record`], where it is a TXT.
    pub ownership: Option<ResourceRecordSet>,
    /// The record set of [`names::lock_record`], where it is a TXT.
    pub lock: Option<ResourceRecordSet>,
    /// Other records under the domain; not all of them where there are many.
    pub beneath: Vec<ResourceRecordSet>,
    /// Records that would keep the domain served without Albatross, such as a wildcard's, where the ownership record
    /// remembers one.
    pub served: Vec<ResourceRecordSet>,
}

impl DomainRecords {
    /// Picks the domain's records from those that are listed around it.
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
        DomainRecords { records, ownership, lock, beneath, served: vec![] }
    }

    /// Returns the records as they stand after a batch has created these, too.
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
}
