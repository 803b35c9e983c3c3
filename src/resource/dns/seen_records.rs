//! The records at a domain as check-input has seen them, on their way to the states that follow.

use aws_sdk_route53 as route53;
use route53::types::ResourceRecordSet;
use serde::{Deserialize, Serialize};

use super::carried::Carried;
use super::domain_records::DomainRecords;
use super::record::is_address;

/// What check-input saw at the domain, and what it made there with the lock, so that no later state reads it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRecords {
    addresses: Vec<Carried>,
    ownership: Option<Carried>,
    /// Copies of a wildcard's records, and the ownership record with them.
    made: Vec<Carried>,
    /// A validation record of the domain was seen.
    pub validated: bool,
}

impl SeenRecords {
    /// `made` is created with the lock; `validated` tells whether a validation record of the domain stands.
    pub fn of(records: &DomainRecords, made: &[ResourceRecordSet], validated: bool) -> Self {
        let addresses = records.records.iter().filter(|record| is_address(record)).map(Carried::from).collect();
        let ownership = records.ownership.as_ref().map(Carried::from);
        SeenRecords { addresses, ownership, made: made.iter().map(Carried::from).collect(), validated }
    }

    /// What was created with the lock.
    pub fn made(&self) -> impl Iterator<Item = ResourceRecordSet> {
        self.made.iter().map(ResourceRecordSet::from)
    }

    /// The records at the domain once the lock is taken.
    pub fn after_lock(&self) -> DomainRecords {
        let addresses = self.addresses.iter().map(ResourceRecordSet::from).collect();
        let before = DomainRecords {
            records: addresses,
            ownership: self.ownership.as_ref().map(ResourceRecordSet::from),
            ..DomainRecords::default()
        };
        before.with(self.made())
    }
}
