//! The HTTPS:443 listener with the certificate, the TLS policy and HSTS.

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{Certificate, ListenerAttribute, ProtocolEnum};

use super::listeners::{HTTPS, Listener, Listeners, find, forward};
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::resource::seen::Seen;
use crate::resource::tags;
use crate::spec::environment::Environment;
use crate::step::{Step, change};

/// HSTS is an attribute of the listener (ELB user guide, header modification).
const HSTS: &str = "routing.http.response.strict_transport_security.header_value";

/// What the listener connects, by their ARNs.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    pub load_balancer: &'a str,
    pub target_group: &'a str,
    pub certificate: &'a str,
}

/// Reads the HSTS header that the HTTPS listener sets; `None` where it sets none, or is to be made.
pub async fn find_hsts(client: &elb::Client, listeners: &Listeners) -> Result<Option<String>> {
    let Some(listener) = listeners.on(HTTPS) else { return Ok(None) };
    let answer = client.describe_listener_attributes().listener_arn(&listener.arn).send().await;
    let answer = answer.call("elasticloadbalancing:DescribeListenerAttributes")?;
    let header = answer.attributes().iter().find(|is| is.key() == Some(HSTS)).and_then(|is| is.value());
    Ok(header.map(Into::into))
}

/// How the HTTPS listener differs, by the calls that change it.
#[derive(Debug)]
pub struct Difference {
    row: Step,
    listener: bool,
    hsts: bool,
}

/// `hsts` is what [`find_hsts`] has read.
pub fn differ(environment: &Environment, ends: Ends, listeners: &Listeners, hsts: Option<&str>) -> Difference {
    let Some(listener) = listeners.on(HTTPS) else {
        return Difference { row: Step::missing(Kind::HttpsListener), listener: true, hsts: true };
    };
    let certificate = if listener.certificates.iter().any(|has| has == ends.certificate) {
        None
    } else {
        let found = (!listener.certificates.is_empty()).then(|| listener.certificates.join(", "));
        change("certificate", found, ends.certificate)
    };
    let changes = [
        change("protocol", Some(&listener.protocol), ProtocolEnum::Https),
        change("TLS policy", listener.tls_policy.as_ref(), &environment.input.tls_policy),
        certificate,
        listener.other_than_forward(ends.target_group),
    ];
    let hsts = change("HSTS", hsts, environment.hsts_header());
    Difference {
        listener: changes.iter().any(Option::is_some),
        hsts: hsts.is_some(),
        row: Step::settled(Kind::HttpsListener, Some(&listener.arn), changes.into_iter().flatten().chain(hsts)),
    }
}

impl Difference {
    pub fn step(&self) -> Step {
        self.row.clone()
    }

    /// Creates or changes the listener. Returns its ARN.
    ///
    /// # Errors
    /// [`Error::CertificatePending`] while ELB does not see the certificate as ISSUED yet: ACM's own answer can be ahead.
    pub async fn apply(
        &mut self,
        client: &elb::Client,
        environment: &Environment,
        seen: &Seen,
        ends: Ends<'_>,
    ) -> Result<String> {
        if self.row.id.is_none() {
            if let Some(arn) = create(client, environment, seen, ends).await? {
                set_hsts(client, environment, &arn, true).await?;
                self.row.id = Some(arn.clone());
                return Ok(arn);
            }
            // Made beside us since they were listed, and otherwise.
            let listeners = find(client, Some(ends.load_balancer)).await?;
            *self = differ(environment, ends, &listeners, find_hsts(client, &listeners).await?.as_deref());
        }
        let Some(arn) = self.row.id.clone() else {
            return Err(Error::not_shown_yet("elasticloadbalancing:DescribeListeners", "HTTPS:443"));
        };
        if self.listener {
            modify(client, environment, &arn, ends).await.authorised_late(!seen.complete)?;
        }
        if self.hsts {
            set_hsts(client, environment, &arn, !seen.complete).await?;
        }
        Ok(arn)
    }
}

/// Returns the new listener's ARN; `None` where another stands on its port.
async fn create(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    ends: Ends<'_>,
) -> Result<Option<String>> {
    let created = client
        .create_listener()
        .load_balancer_arn(ends.load_balancer)
        .protocol(ProtocolEnum::Https)
        .port(HTTPS)
        .ssl_policy(&environment.input.tls_policy)
        .certificates(Certificate::builder().certificate_arn(ends.certificate).build())
        .default_actions(forward(ends.target_group))
        .set_tags(Some(tags::of_elb(environment)))
        .send()
        .await
        .call("elasticloadbalancing:CreateListener");
    let created = usable(created, ends.certificate).unless(&["DuplicateListener"]).authorised_late(!seen.complete)?;
    Ok(created.and_then(|created| created.listeners().first().map(|listener| Listener::from(listener).arn)))
}

async fn modify(client: &elb::Client, environment: &Environment, arn: &str, ends: Ends<'_>) -> Result<()> {
    let modified = client
        .modify_listener()
        .listener_arn(arn)
        .protocol(ProtocolEnum::Https)
        .ssl_policy(&environment.input.tls_policy)
        .certificates(Certificate::builder().certificate_arn(ends.certificate).build())
        .default_actions(forward(ends.target_group))
        .send()
        .await;
    usable(modified.call("elasticloadbalancing:ModifyListener"), ends.certificate).map(drop)
}

/// Validation SUCCESS can precede ISSUED, and ELB can see a certificate later than ACM says so.
fn usable<T>(result: Result<T>, certificate: &str) -> Result<T> {
    result.map_err(|error| match error {
        Error::AwsRefused(refusal) if refusal.is(&["UnsupportedCertificate", "CertificateNotFound"]) => {
            Error::CertificatePending {
                arn: certificate.into(),
                waiting_for: format!("the load balancer does not take it yet ({})", refusal.message),
            }
        }
        other => other,
    })
}

async fn set_hsts(client: &elb::Client, environment: &Environment, arn: &str, just_made: bool) -> Result<()> {
    client
        .modify_listener_attributes()
        .listener_arn(arn)
        .attributes(ListenerAttribute::builder().key(HSTS).value(environment.hsts_header()).build())
        .send()
        .await
        .call("elasticloadbalancing:ModifyListenerAttributes")
        .appears_late(&["ListenerNotFound"])
        .authorised_late(just_made)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::listeners::tests::{closed, on};
    use super::*;
    use crate::step::Outcome;
    use elb::types::Action;

    #[test]
    fn the_https_listener_differs_by_all_that_it_serves() {
        let environment = Environment::example();
        let listener = |action: Action, tls_policy: &str, certificate: &str| Listener {
            protocol: "HTTPS".into(),
            tls_policy: Some(tls_policy.into()),
            certificates: vec![certificate.into()],
            ..on(HTTPS, action)
        };
        let ends = Ends { load_balancer: "lb", target_group: "tg", certificate: "c" };
        let hsts = environment.hsts_header();
        let differs =
            |listener: Listener, hsts: Option<&str>| differ(&environment, ends, &Listeners(vec![listener]), hsts);
        let as_wanted = || listener(forward("tg"), &environment.input.tls_policy, "c");
        assert_eq!(differs(as_wanted(), Some(&hsts)).step(), Step::new(Kind::HttpsListener, "arn", Outcome::Found));
        let other_header = differs(as_wanted(), None);
        assert_eq!(other_header.step().changes, ["HSTS: none → max-age=300"]);
        assert_eq!((other_header.listener, other_header.hsts), (false, true));
        let other = differs(listener(closed(), "old", "d"), Some(&hsts));
        assert_eq!(
            other.step().changes,
            [
                format!("TLS policy: old → {}", environment.input.tls_policy),
                "certificate: d → c".into(),
                "default action: fixed-response → forward to tg".into(),
            ]
        );
        assert_eq!((other.listener, other.hsts), (true, false));
        let missing = differ(&environment, ends, &Listeners::default(), None);
        assert_eq!(missing.step(), Step::missing(Kind::HttpsListener));
    }
}
