//! The lock record: a TXT record that names the execution that works on an environment.
//!
//! Route 53 carries out a batch of changes whole or not at all, creates only what does not exist and deletes only what
//! stands exactly so (API reference, ChangeResourceRecordSets): of two executions only one gets the lock. An execution that
//! ends without giving it back loses it to the next.

use aws_sdk_route53 as route53;
use aws_sdk_sfn as sfn;
use route53::types::ResourceRecordSet;

use super::batch::{Edit, apply};
use super::record::{not_albatross, txt, txt_values};
use crate::error::{Error, Result};
use crate::resource::execution;
use crate::spec::names;

/// The text of a lock record before the ARN.
const HERITAGE: &str = "heritage=albatross run=";

fn record(domain: &str, run: &str) -> ResourceRecordSet {
    txt(&names::lock_record(domain), &[format!("{HERITAGE}{run}")])
}

/// Reads the ARN of the execution that a lock record names; `None` where the record is not Albatross's.
pub fn holder(record: &ResourceRecordSet) -> Option<String> {
    let [value] = txt_values(record).try_into().ok()?;
    Some(value.strip_prefix(HERITAGE)?.to_owned())
}

/// Returns the holder of a domain's lock; `standing` is its record.
///
/// # Errors
/// [`Error::DnsRecordConflict`] where the record is not Albatross's.
pub fn check(zone: &str, domain: &str, standing: Option<&ResourceRecordSet>) -> Result<Option<String>> {
    let or_conflict = |record| holder(record).ok_or_else(|| not_albatross(&names::lock_record(domain), zone));
    standing.map(or_conflict).transpose()
}

/// Takes the lock of a domain for the execution `run`, also from an execution that has ended; `standing` is the lock record
/// that was read, and `made` is created together with the lock.
///
/// # Errors
/// [`Error::EnvironmentBusy`] where another execution holds the lock and runs, or may run; [`Error::DnsRecordConflict`] where
/// the record is not Albatross's; [`Error::AwsUnavailable`] where somebody has taken the lock since it was read.
pub async fn take(
    route53: &route53::Client,
    sfn: &sfn::Client,
    zone: &str,
    domain: &str,
    standing: Option<&ResourceRecordSet>,
    run: &str,
    made: &[ResourceRecordSet],
) -> Result<()> {
    let mut edits = vec![Edit::Create(record(domain, run))];
    edits.extend(made.iter().cloned().map(Edit::Create));
    if let (Some(standing), Some(holder)) = (standing, check(zone, domain, standing)?) {
        if holder == run {
            return Ok(());
        }
        if execution::may_run(sfn, &holder).await? {
            return Err(Error::EnvironmentBusy {
                domain: domain.into(),
                run: holder,
                lock: names::lock_record(domain),
            });
        }
        edits.insert(0, Edit::Delete(standing.clone()));
    }
    apply(route53, zone, &edits, "Albatross: take the lock of a domain").await
}

/// Returns the edit that gives back the lock of `run` without reading it first: Route 53 refuses the edit where `run` does not
/// hold the lock any more.
pub fn give_back(domain: &str, run: &str) -> Edit {
    Edit::Delete(record(domain, run))
}

/// Whether `run` holds the lock; `standing` is its record.
pub fn is_held(standing: Option<&ResourceRecordSet>, run: &str) -> bool {
    standing.and_then(holder).as_deref() == Some(run)
}

/// Returns the edit that gives the lock back, where `run` holds it; `standing` is its record.
pub fn release(standing: Option<&ResourceRecordSet>, run: &str) -> Option<Edit> {
    standing.filter(|record| is_held(Some(*record), run)).cloned().map(Edit::Delete)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "arn:aws:states:us-east-1:123456789012:execution:albatross-provision:one";

    #[test]
    fn only_the_holder_gives_it_back() {
        let standing = record("api.example.com", RUN);
        assert_eq!(standing.name(), "_lock._albatross.api.example.com");
        assert_eq!(holder(&standing).as_deref(), Some(RUN));
        assert_eq!(release(Some(&standing), RUN), Some(give_back("api.example.com", RUN)));
        assert_eq!(release(Some(&standing), "arn:another"), None);
        assert_eq!(release(None, RUN), None);
    }

    #[test]
    fn a_long_arn_comes_back_whole() {
        let run = format!("{RUN}{}", "x".repeat(300));
        assert_eq!(holder(&record("api.example.com", &run)).as_deref(), Some(run.as_str()));
    }

    #[test]
    fn somebody_elses_record_is_no_lock() {
        assert_eq!(holder(&txt(&names::lock_record("api.example.com"), &["v=spf1 -all".to_owned()])), None);
    }
}
