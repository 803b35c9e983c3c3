//! What can go wrong. The names are an interface: the state machines retry and catch them, users read them.

use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use lambda_runtime::Diagnostic;

use crate::kind::Kind;

pub type Result<T> = std::result::Result<T, Error>;

/// Every error of every function; [`Error::name`] is the `errorType` that Step Functions sees.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The input cannot be carried out as it stands. Raised before the first call that changes anything.
    #[error("{path}: {problem}")]
    InvalidInput { path: String, problem: String },
    /// A resource with our name is somebody else's.
    #[error("{resource} {id} is not ours: {why}. Remove or rename it, or give the environment another \"name\"")]
    NotOurs { resource: Kind, id: String, why: String },
    /// Another execution works on the environment.
    #[error(
        "{domain} is being worked on by {run}. Wait for its end, or stop it, and start again; where that execution is no more, delete the record {lock} TXT"
    )]
    EnvironmentBusy { domain: String, run: String, lock: String },
    /// A DNS record that is not ours to replace stands where ours must go.
    #[error("record {record} stands in hosted zone {zone}: {problem}")]
    DnsRecordConflict { record: String, zone: String, problem: String },
    /// Wait: the certificate is not usable yet.
    #[error("certificate {arn}: {waiting_for}")]
    CertificatePending { arn: String, waiting_for: String },
    /// ACM gave up on the certificate; it never recovers.
    #[error(
        "certificate {arn} is {status}: {reason}. Mend the cause and provision again; the dead certificate is then replaced"
    )]
    CertificateFailed { arn: String, status: String, reason: String },
    /// Wait: the load balancer is not active yet.
    #[error("load balancer {arn} is {state}; it takes two to three minutes")]
    LoadBalancerProvisioning { arn: String, state: String },
    /// The load balancer will not become active by waiting.
    #[error("load balancer {arn} is {state}: {reason}. Tear the environment down and provision again")]
    LoadBalancerFailed { arn: String, state: String, reason: String },
    /// Wait: at least one target does not pass its health check.
    #[error("targets not healthy: {0}")]
    TargetsNotHealthy(String),
    /// Wait: what leads to targets that were deregistered a moment ago stays until the load balancer knows that.
    #[error("{0}: deregistered, and the load balancer may send there for a moment yet. The site serves by the others")]
    TargetsLeaving(String),
    /// Wait: the load balancer does not answer as it should yet.
    #[error("{url} through load balancer {load_balancer}: {problem}")]
    HttpsNotServing { url: String, load_balancer: String, problem: String },
    /// Wait: instances that a night has stopped do not run yet.
    #[error("instances start: {0}")]
    InstancesStarting(String),
    /// Wait: AWS has not finished a deletion.
    #[error("still deleting: {0}")]
    StillDeleting(String),
    /// Something of ours is held by something that is not, so it stays.
    #[error("left over: {0}")]
    TeardownIncomplete(String),
    /// Throttled, a server error, a lost answer, or a thing that has not appeared yet: the same call may succeed later.
    #[error("{0}; nothing is lost, the call is repeated")]
    AwsUnavailable(Refusal),
    /// AWS refused a call for a reason that waiting does not change.
    #[error("{0}")]
    AwsRefused(Refusal),
}

/// What AWS said to one call.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// As IAM writes it: `service:Operation`.
    pub operation: &'static str,
    /// AWS's error code; empty where no answer came.
    pub code: String,
    pub message: String,
    pub request_id: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.operation, self.code, self.message)?;
        if !self.request_id.is_empty() {
            write!(f, " (request {})", self.request_id)?;
        }
        Ok(())
    }
}

impl Error {
    /// The name that state machines match on.
    pub fn name(&self) -> &'static str {
        match self {
            Error::InvalidInput { .. } => "InvalidInput",
            Error::NotOurs { .. } => "NotOurs",
            Error::EnvironmentBusy { .. } => "EnvironmentBusy",
            Error::DnsRecordConflict { .. } => "DnsRecordConflict",
            Error::CertificatePending { .. } => "CertificatePending",
            Error::CertificateFailed { .. } => "CertificateFailed",
            Error::LoadBalancerProvisioning { .. } => "LoadBalancerProvisioning",
            Error::LoadBalancerFailed { .. } => "LoadBalancerFailed",
            Error::TargetsNotHealthy(_) => "TargetsNotHealthy",
            Error::TargetsLeaving(_) => "TargetsLeaving",
            Error::HttpsNotServing { .. } => "HttpsNotServing",
            Error::InstancesStarting(_) => "InstancesStarting",
            Error::StillDeleting(_) => "StillDeleting",
            Error::TeardownIncomplete(_) => "TeardownIncomplete",
            Error::AwsUnavailable(_) => "AwsUnavailable",
            Error::AwsRefused(_) => "AwsRefused",
        }
    }

    /// An [`Error::InvalidInput`] at a JSON path of the execution's input, such as `$.instances[0]`.
    pub fn input(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::InvalidInput { path: path.into(), problem: problem.into() }
    }

    /// AWS says that a thing exists, and does not show it yet.
    pub fn not_shown_yet(operation: &'static str, what: impl Into<String>) -> Self {
        let message = format!("does not show {} yet", what.into());
        Error::AwsUnavailable(Refusal { operation, code: String::new(), message, request_id: String::new() })
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Diagnostic { error_type: error.name().into(), error_message: error.to_string() }
    }
}

/// Names the call that an SDK result belongs to, and sorts its error.
pub trait Call<T> {
    /// `operation` as IAM writes it: `service:Operation`.
    fn call(self, operation: &'static str) -> Result<T>;
}

/// Codes beyond HTTP 5xx that mean "again, later". Route 53 throttles with HTTP 400 and `Throttling`, and answers
/// `PriorRequestNotComplete` while it is still busy with the zone (Route 53 API reference, ChangeResourceRecordSets).
const PASSING: [&str; 7] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "PriorRequestNotComplete",
    "RequestInProgressException",
];

impl<T, E> Call<T> for std::result::Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn call(self, operation: &'static str) -> Result<T> {
        self.map_err(|error| {
            let request_id = error.request_id().unwrap_or_default().to_owned();
            let status = error.raw_response().map_or(0, |response| response.status().as_u16());
            match error.as_service_error() {
                Some(said) => {
                    let refusal = Refusal {
                        operation,
                        code: said.code().unwrap_or_default().to_owned(),
                        message: said.message().map_or_else(|| said.to_string(), Into::into),
                        request_id,
                    };
                    if status >= 500 || PASSING.contains(&refusal.code.as_str()) {
                        Error::AwsUnavailable(refusal)
                    } else {
                        Error::AwsRefused(refusal)
                    }
                }
                None => Error::AwsUnavailable(Refusal {
                    operation,
                    code: String::new(),
                    message: chain(&error),
                    request_id,
                }),
            }
        })
    }
}

/// The codes by which services say that a policy does not allow a call.
const DENIED: [&str; 3] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];
/// What is added to such an answer where it may pass.
const AUTHORISED_LATE: &str = "(AWS may not know the tags of what was made a moment ago yet, which passes in some minutes; a denial that lasts \
     comes from a permissions boundary or an organisation's policy)";

/// What to make of AWS's codes that are not failures in their place.
pub trait Codes<T> {
    /// `None` where AWS answered one of these codes: the thing is absent, or there already.
    fn unless(self, codes: &[&str]) -> Result<Option<T>>;
    /// These codes mean that a thing just made has not appeared everywhere yet.
    fn appears_late(self, codes: &[&str]) -> Result<T>;
    /// A denial passes where the call is about what was `just_made`: a role's condition on its tags is not met until
    /// authorisation knows them, which has taken minutes (kops#15990, aws-load-balancer-controller#1464).
    fn authorised_late(self, just_made: bool) -> Result<T>;
}

impl<T> Codes<T> for Result<T> {
    fn unless(self, codes: &[&str]) -> Result<Option<T>> {
        match self {
            Err(Error::AwsRefused(refusal)) if codes.contains(&refusal.code.as_str()) => Ok(None),
            other => other.map(Some),
        }
    }

    fn appears_late(self, codes: &[&str]) -> Result<T> {
        self.map_err(|error| match error {
            Error::AwsRefused(refusal) if codes.contains(&refusal.code.as_str()) => Error::AwsUnavailable(refusal),
            other => other,
        })
    }

    fn authorised_late(self, just_made: bool) -> Result<T> {
        self.map_err(|error| match error {
            Error::AwsRefused(refusal) if just_made && DENIED.contains(&refusal.code.as_str()) => {
                let message = format!("{} {AUTHORISED_LATE}", refusal.message);
                Error::AwsUnavailable(Refusal { message, ..refusal })
            }
            other => other,
        })
    }
}

/// An error with its causes on one line: the SDK's own text names only the outermost.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_passes_where_tags_may_not_be_known_yet() {
        let refused = |code: &str| -> Result<()> {
            let (operation, code) = ("elasticloadbalancing:RegisterTargets", code.to_owned());
            Err(Error::AwsRefused(Refusal { operation, code, message: "no".into(), request_id: String::new() }))
        };
        for code in DENIED {
            let passing = refused(code).authorised_late(true).unwrap_err();
            assert_eq!(passing.name(), "AwsUnavailable");
            assert!(passing.to_string().contains("permissions boundary"), "{passing}");
            assert_eq!(refused(code).authorised_late(false).unwrap_err().name(), "AwsRefused");
        }
        assert_eq!(refused("InvalidTarget").authorised_late(true).unwrap_err().name(), "AwsRefused");
    }
}
