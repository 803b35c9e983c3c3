//! What a teardown decides about the certificates of a domain. No I/O.

use aws_sdk_acm::types::CertificateStatus;

use super::entry::{Action, Entry};
use super::item::Decision;
use crate::kind::Kind;
use crate::resource::certificate::{self, Certificate};
use crate::spec::ids::ValidationRecord;
use crate::spec::teardown_input::CertificatePolicy;

/// The certificates of an environment's domain, as far as the teardown has read them.
#[derive(Debug, Default)]
pub struct Certificates {
    kept: Vec<Entry>,
    /// With the reason.
    going: Vec<(String, Certificate)>,
    /// What needs the validation record of those that go, though it is none of this region's certificates.
    pub sharing: Option<String>,
}

/// Whether a certificate of this status stays, whoever it belongs to: then nothing more is read of it.
pub fn stays(status: &CertificateStatus, policy: CertificatePolicy) -> bool {
    policy == CertificatePolicy::Keep && !certificate::is_dead(status)
}

impl Certificates {
    /// Adds a certificate that stays.
    pub fn keep(&mut self, arn: &str) {
        let reason = "free; where it is ours, the next provision uses it, and \"certificate\": \"delete\" deletes it, unless something else uses it";
        self.kept.push(Entry::kept(Kind::Certificate, arn, reason));
    }

    /// Adds a certificate of ours. One goes where it is dead, as it never recovers, and where the input asks for it; never
    /// where something else uses it.
    pub fn add(&mut self, certificate: Certificate, environment: &str, policy: CertificatePolicy) {
        let users = certificate.foreign_users(environment).join(", ");
        if !users.is_empty() {
            self.kept.push(Entry::kept(Kind::Certificate, &certificate.arn, format!("used by {users}")));
        } else if certificate::is_dead(&certificate.status) {
            self.going.push((format!("{}: it never recovers", certificate.status), certificate));
        } else if policy == CertificatePolicy::Delete {
            self.going.push(("asked for".into(), certificate));
        } else {
            self.keep(&certificate.arn);
        }
    }

    /// Whether the validation record goes unless a certificate that is not listed here needs it: one record serves all
    /// certificates of a domain.
    pub fn may_share_with_others(&self) -> bool {
        !self.going.is_empty() && self.kept.is_empty()
    }

    /// Returns the ARNs of those that go.
    pub fn going(&self) -> Vec<String> {
        self.going.iter().map(|(_, certificate)| certificate.arn.clone()).collect()
    }

    /// Returns the entries of the list: those that stay, then those that go. `zone` is the id of the domain's hosted zone.
    pub fn entries(&self, zone: Option<&String>) -> Vec<Entry> {
        let sharing = self.kept.first().and_then(|staying| staying.item.id.clone()).or(self.sharing.clone());
        let mut entries = self.kept.clone();
        let mut taken: Vec<ValidationRecord> = vec![];
        for (reason, certificate) in &self.going {
            let (reason, mut records) = match &sharing {
                Some(other) => (format!("{reason}; its validation record stays for {other}"), vec![]),
                None => (format!("{reason}; with its validation record"), certificate.records.clone()),
            };
            // Certificates of one domain share a record, and are deleted at once.
            records.retain(|record| !taken.contains(record));
            taken.extend(records.iter().cloned());
            let arn = certificate.arn.clone();
            let action = Action::Certificate { arn: arn.clone(), zone: zone.cloned(), records };
            entries.push(Entry::acted(Kind::Certificate, arn, Decision::Remove, reason, action));
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(arn: &str, status: CertificateStatus, user: Option<&str>) -> Certificate {
        let record = ValidationRecord { name: "_0a.api.example.com".into(), value: "_1.acm-validations.aws".into() };
        Certificate {
            arn: arn.into(),
            status,
            reason: String::new(),
            names: vec![],
            records: vec![record],
            in_use_by: user.into_iter().map(Into::into).collect(),
        }
    }

    fn records(entry: &Entry) -> usize {
        let Some(Action::Certificate { records, .. }) = &entry.action else { panic!("{entry:?}") };
        records.len()
    }

    #[test]
    fn a_certificate_goes_where_it_is_dead_or_the_input_asks_for_it_and_nothing_else_uses_it() {
        let (keep, delete) = (CertificatePolicy::Keep, CertificatePolicy::Delete);
        let cases = [
            (CertificateStatus::Issued, None, keep, Decision::Keep),
            (CertificateStatus::Issued, None, delete, Decision::Remove),
            (CertificateStatus::Issued, Some("arn:distribution"), delete, Decision::Keep),
            (CertificateStatus::Failed, None, keep, Decision::Remove),
            (CertificateStatus::Failed, Some("arn:distribution"), keep, Decision::Keep),
        ];
        for (status, user, policy, wanted) in cases {
            let mut found = Certificates::default();
            found.add(certificate("arn:one", status.clone(), user), "api", policy);
            assert_eq!(found.entries(None)[0].item.decision, wanted, "{status} {user:?} {policy:?}");
        }
    }

    #[test]
    fn the_validation_record_goes_once_and_only_where_nothing_else_needs_it() {
        let going = |found: &mut Certificates| {
            for arn in ["arn:one", "arn:two"] {
                found.add(certificate(arn, CertificateStatus::Failed, None), "api", CertificatePolicy::Keep);
            }
        };
        let mut alone = Certificates::default();
        going(&mut alone);
        assert!(alone.may_share_with_others());
        assert_eq!(alone.entries(None).iter().map(records).collect::<Vec<_>>(), [1, 0]);
        alone.sharing = Some("arn:elsewhere".into());
        assert_eq!(alone.entries(None).iter().map(records).sum::<usize>(), 0);
        let mut beside = Certificates::default();
        beside.keep("arn:issued");
        going(&mut beside);
        assert!(!beside.may_share_with_others());
        let entries = beside.entries(None);
        assert!(entries[1].item.reason.contains("stays for arn:issued"), "{entries:?}");
        assert_eq!(entries[1..].iter().map(records).sum::<usize>(), 0);
    }
}
