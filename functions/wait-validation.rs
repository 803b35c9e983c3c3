//! Looks whether ACM has issued the certificate; the state machine asks again until it has.

use albatross::error::{Error, Result};
use albatross::resource::certificate;
use albatross::{aws, lambda};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Wait {
    certificate_arn: String,
    /// As request-cert found it: then it need not be asked again.
    issued: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let acm = aws_sdk_acm::Client::new(&aws::config());
    lambda::run(async |event: Wait| wait(&acm, event).await).await
}

async fn wait(acm: &aws_sdk_acm::Client, event: Wait) -> Result<Wait> {
    if event.issued {
        return Ok(event);
    }
    match certificate::describe(acm, &event.certificate_arn).await? {
        Some(certificate) => certificate.check_issued().map(|()| Wait { issued: true, ..event }),
        None => {
            Err(Error::CertificatePending { arn: event.certificate_arn, waiting_for: "ACM does not show it".into() })
        }
    }
}
