//! Everything that can go wrong. The names are an interface: the state machines retry and catch them, and users read them.

use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use lambda_runtime::Diagnostic;

use crate::kind::Kind;

pub type Result<T> = std::result::Result<T, Error>;

/// Every error of every function. [`Error::name`] is the `errorType` that Step Functions sees.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The input cannot be carried out. Raised before the first call that changes anything.
    #[error("{path}: {problem}")]
    InvalidInput { path: String, problem: String },
    /// A resource has the name that ours would get, and lacks our tags.
    #[error("{resource} {id} is not ours: {why}. Remove or rename it, or give the environment another \"name\"")]
    NotOurs { resource: Kind, id: String, why: String },
    /// Another execution works on the environment: it holds the lock.
    #[error(
        "{domain} is being worked on by {run}. Wait for its end, or stop it, and start again; where that execution is no more, delete the record {lock} TXT"
    )]
    EnvironmentBusy { domain: String, run: String, lock: String },
    /// A DNS record that we may not replace stands where ours must go.
    #[error("record {record} stands in hosted zone {zone}: {problem}")]
    DnsRecordConflict { record: String, zone: String, problem: String },
    /// A wait: the certificate cannot be used yet.
    #[error("certificate {arn}: {waiting_for}")]
    CertificatePending { arn: String, waiting_for: String },
    /// ACM gave up on the certificate, which never recovers.
    #[error(
        "certificate {arn} is {status}: {reason}. Fix the cause and provision again; the dead certificate is then replaced"
    )]
    CertificateFailed { arn: String, status: String, reason: String },
    /// A wait: the load balancer is not active yet.
    #[error("load balancer {arn} is {state}; it takes two to three minutes")]
    LoadBalancerProvisioning { arn: String, state: String },
    /// The load balancer will never become active.
    #[error("load balancer {arn} is {state}: {reason}. Tear the environment down and provision again")]
    LoadBalancerFailed { arn: String, state: String, reason: String },
    /// A wait: at least one target does not pass its health check yet.
    #[error("targets not healthy: {0}")]
    TargetsNotHealthy(String),
    /// A wait: targets were deregistered a moment ago, and the load balancer may still send requests to them. The rules and
    /// zones that lead to them stay until it stops.
    #[error("{0}: deregistered, and the load balancer may send there for a moment yet. The site serves by the others")]
    TargetsLeaving(String),
    /// A wait: the load balancer does not answer as it should yet.
    #[error("{url} through load balancer {load_balancer}: {problem}")]
    HttpsNotServing { url: String, load_balancer: String, problem: String },
    /// A wait: instances that a night has stopped do not run yet.
    #[error("instances start: {0}")]
    InstancesStarting(String),
    /// A wait: AWS has not finished a deletion.
    #[error("still deleting: {0}")]
    StillDeleting(String),
    /// Something that should be gone stays: AWS refused, or something that is not ours holds it.
    #[error("left over: {0}")]
    TeardownIncomplete(String),
    /// The call was throttled, failed on AWS's side or lost its answer, or something just made has not appeared yet: the same
    /// call may succeed later.
    #[error("{0}; nothing is lost, the call is repeated")]
    AwsUnavailable(Refusal),
    /// AWS refused a call for a reason that waiting does not change.
    #[error("{0}")]
    AwsRefused(Refusal),
}

/// A call that failed, and what AWS said.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// As IAM writes it: `service:Operation`.
    pub operation: &'static str,
    /// AWS's error code; `None` where no answer came.
    pub code: Option<String>,
    pub message: String,
    /// `None` where no answer came.
    pub request_id: Option<String>,
}

impl Refusal {
    /// Whether AWS answered one of these error codes.
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.operation, self.code.as_deref().unwrap_or_default(), self.message)?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// Returns the name that the state machines match on.
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

    /// Makes an [`Error::InvalidInput`] at a JSON path of the execution's input, such as `$.instances[0]`.
    pub fn input(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::InvalidInput { path: path.into(), problem: problem.into() }
    }

    /// Makes the error for something that AWS says exists, and does not show yet.
    pub fn not_shown_yet(operation: &'static str, what: impl Into<String>) -> Self {
        let message = format!("does not show {} yet", what.into());
        Error::AwsUnavailable(Refusal { operation, code: None, message, request_id: None })
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Diagnostic { error_type: error.name().into(), error_message: error.to_string() }
    }
}

/// Names the call that an SDK result belongs to, and tells errors that may pass from those that stay.
pub trait Call<T> {
    /// Turns the SDK's error into ours. `operation` is what IAM calls it: `service:Operation`.
    ///
    /// # Errors
    /// [`Error::AwsUnavailable`] where the same call may succeed later, else [`Error::AwsRefused`].
    fn call(self, operation: &'static str) -> Result<T>;
}

/// Codes, beside HTTP 5xx, that mean "try again later". Route 53 throttles with HTTP 400 and `Throttling`, and answers
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
            let said = error.as_service_error();
            let message = match said {
                Some(said) => said.message().map_or_else(|| said.to_string(), Into::into),
                None => chain(&error),
            };
            let code = said.and_then(|said| said.code()).map(Into::into);
            let refusal = Refusal { operation, code, message, request_id: error.request_id().map(Into::into) };
            let is_servers = error.raw_response().is_some_and(|response| response.status().is_server_error());
            if said.is_none() || is_servers || refusal.is(&PASSING) {
                Error::AwsUnavailable(refusal)
            } else {
                Error::AwsRefused(refusal)
            }
        })
    }
}

/// Codes with which services say that a policy does not allow a call.
const DENIED: [&str; 3] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];
/// Added to a denial that may pass.
const AUTHORISED_LATE: &str = "(AWS may not know the tags of what was made a moment ago yet, which passes in some minutes; a denial that lasts \
     comes from a permissions boundary or an organisation's policy)";

/// Gives AWS's error codes the meaning that they have for one call.
pub trait Codes<T> {
    /// Returns `None` where AWS answered one of these codes, which say that the resource is absent, or there already.
    fn unless(self, codes: &[&str]) -> Result<Option<T>>;
    /// Makes these codes [`Error::AwsUnavailable`]: something just made has not appeared everywhere yet.
    fn appears_late(self, codes: &[&str]) -> Result<T>;
    /// Makes a denial [`Error::AwsUnavailable`] where the call is about something `just_made`: the role's condition on its
    /// tags is not met until authorisation knows them, which has taken minutes (kops#15990,
    /// aws-load-balancer-controller#1464).
    fn authorised_late(self, just_made: bool) -> Result<T>;
}

impl<T> Codes<T> for Result<T> {
    fn unless(self, codes: &[&str]) -> Result<Option<T>> {
        match self {
            Err(Error::AwsRefused(refusal)) if refusal.is(codes) => Ok(None),
            other => other.map(Some),
        }
    }

    fn appears_late(self, codes: &[&str]) -> Result<T> {
        self.map_err(|error| match error {
            Error::AwsRefused(refusal) if refusal.is(codes) => Error::AwsUnavailable(refusal),
            other => other,
        })
    }

    fn authorised_late(self, just_made: bool) -> Result<T> {
        self.map_err(|error| match error {
            Error::AwsRefused(refusal) if just_made && refusal.is(&DENIED) => {
                let message = format!("{} {AUTHORISED_LATE}", refusal.message);
                Error::AwsUnavailable(Refusal { message, ..refusal })
            }
            other => other,
        })
    }
}

/// Writes an error with its causes on one line: the SDK's own text names only the outermost.
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
            let (operation, code) = ("elasticloadbalancing:RegisterTargets", Some(code.to_owned()));
            Err(Error::AwsRefused(Refusal { operation, code, message: "no".into(), request_id: None }))
        };
        for code in DENIED {
            let passing = refused(code).authorised_late(true).unwrap_err();
            assert_eq!(passing.name(), "AwsUnavailable");
            assert!(passing.to_string().contains("permissions boundary"), "{passing}");
            assert_eq!(refused(code).authorised_late(false).unwrap_err().name(), "AwsRefused");
        }
        assert_eq!(refused("InvalidTarget").authorised_late(true).unwrap_err().name(), "AwsRefused");
    }

    #[test]
    fn a_refusal_says_what_aws_said_and_no_answer_has_no_code() {
        let operation = "ec2:CreateSecurityGroup";
        let said = Refusal {
            operation,
            code: Some("InvalidGroup.Duplicate".into()),
            message: "there".into(),
            request_id: Some("r-1".into()),
        };
        assert_eq!(said.to_string(), "ec2:CreateSecurityGroup: InvalidGroup.Duplicate there (request r-1)");
        assert!(said.is(&["Other", "InvalidGroup.Duplicate"]) && !said.is(&["Other"]));
        let Error::AwsUnavailable(unanswered) = Error::not_shown_yet(operation, "it") else { panic!("it may pass") };
        assert!(!unanswered.is(&[""]) && !unanswered.to_string().contains("request"), "{unanswered}");
    }
}
