//! request-cert's part: the certificate, and the CNAMEs that prove control of the domain.

use aws_sdk_acm as acm;
use aws_sdk_route53 as route53;

use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::resource::certificate::{self, Certificate};
use crate::resource::dns::Edit;
use crate::resource::dns::validation;
use crate::spec::environment::Environment;
use crate::step::Step;

#[derive(Debug)]
pub struct Difference {
    certificate: certificate::Difference,
    records: Vec<validation::Difference>,
}

/// Compares with the environment's certificates, and reads what stands at the names of the validation records.
///
/// # Errors
/// [`Error::DnsRecordConflict`] where a record's name holds another value.
pub async fn differ(
    route53: &route53::Client,
    environment: &Environment,
    ours: Vec<Certificate>,
) -> Result<Difference> {
    let certificate = certificate::differ(environment, ours);
    let mut records = vec![];
    for record in certificate.records().unwrap_or_default() {
        let found = validation::find(route53, &environment.zone, record).await?;
        records.push(validation::differ(&environment.zone, record, found.as_ref())?);
    }
    Ok(Difference { certificate, records })
}

/// Finds the environment's certificate or requests one, and writes its validation records. Returns the ARN, whether ACM has
/// issued it, and what was done.
///
/// # Errors
/// [`Error::CertificatePending`] as long as ACM has not named the records, [`Error::DnsRecordConflict`] as [`differ`].
pub async fn apply(
    acm: &acm::Client,
    route53: &route53::Client,
    environment: &Environment,
    ours: Vec<Certificate>,
) -> Result<(String, bool, Difference)> {
    let mut certificate = certificate::differ(environment, ours);
    let (arn, issued) = certificate.apply(acm, environment).await?;
    if certificate.records().is_some_and(<[_]>::is_empty) {
        let waiting_for = "waiting for ACM to name the validation record".into();
        return Err(Error::CertificatePending { arn, waiting_for });
    }
    let mut records = vec![];
    for record in certificate.records().unwrap_or_default() {
        // Mostly none stands: that is found out by writing it.
        let mut difference = validation::differ(&environment.zone, record, None)?;
        difference.apply(route53, &environment.zone, record).await?;
        records.push(difference);
    }
    Ok((arn, issued, Difference { certificate, records }))
}

impl Difference {
    /// ACM names the validation record only when the certificate is requested.
    fn is_record_unknown(&self) -> bool {
        self.certificate.records().is_some_and(<[_]>::is_empty)
    }

    pub fn steps(&self) -> Vec<Step> {
        let unknown = self.is_record_unknown().then(|| Step::missing(Kind::ValidationRecord));
        let records = self.records.iter().map(validation::Difference::step);
        [self.certificate.step()].into_iter().chain(records).chain(unknown).collect()
    }

    /// The edits of the zone, and in words the one that nobody can name yet.
    pub fn edits(&self, environment: &Environment) -> (Vec<Edit>, Option<String>) {
        let edits = self.records.iter().flat_map(|record| record.edits.clone()).collect();
        let domain = &environment.input.domain;
        let unknown = self.is_record_unknown();
        (edits, unknown.then(|| format!("+ the CNAME under {domain} that ACM names as the certificate is requested")))
    }

    /// The ARN of the certificate, where it stands.
    pub fn arn(&self) -> Option<String> {
        self.certificate.step().id
    }
}
