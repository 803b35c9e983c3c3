//! The input of a provision, and the checks of it that need no call. No I/O.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::names::{self, TAG_VALUE_MAX};
use crate::error::{Error, Result};

/// The longest first name of a certificate, in octets (ACM API reference, RequestCertificate).
const CERTIFICATE_DOMAIN_MAX: usize = 64;
/// The most ranges of IPv4, and the most of IPv6: a security group holds 60 rules of either kind (VPC user guide, quotas), and
/// a range takes one for port 80 and one for port 443.
const RANGES_MOST: usize = 30;
/// The least that an input says, for messages.
const LEAST_INPUT: &str = r#"{"domain": "api.example.com", "instances": ["i-0abc1234def567890"]}"#;

/// The input of a provision, as its user writes it. Unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    pub domain: String,
    /// At least one instance id; all in one VPC.
    pub instances: Vec<String>,
    /// Default: from the domain.
    pub name: Option<String>,
    /// The port that the instances serve HTTP on.
    #[serde(default = "default_port")]
    pub port: u16,
    #[serde(default)]
    pub health_check: HealthCheck,
    /// Default: the public zone with the longest matching suffix.
    pub hosted_zone_id: Option<String>,
    /// Default: one public subnet in each zone that holds a target, at least two zones.
    pub subnets: Option<Vec<String>>,
    /// Default: as many zones as needed; each costs a public IPv4 address.
    pub zones: Option<Zones>,
    /// Who may reach the load balancer. Default: everybody.
    pub allowed_cidrs: Option<Vec<IpNet>>,
    #[serde(default = "default_tls_policy")]
    pub tls_policy: String,
    /// Seconds. Short by default: a browser that remembers HSTS cannot reach a site that is back on HTTP at night.
    #[serde(default = "default_hsts_max_age")]
    pub hsts_max_age: u32,
    #[serde(default)]
    pub redirect: Redirect,
    /// Whether the load balancer drops headers whose names have other than letters, digits and hyphens.
    #[serde(default = "default_drop_invalid_headers")]
    pub drop_invalid_headers: bool,
    #[serde(default)]
    pub ip_address_type: IpAddressType,
    /// An ISSUED certificate of one's own, in place of one that Albatross requests.
    pub certificate_arn: Option<String>,
    #[serde(default)]
    pub dns: DnsPolicy,
    #[serde(default)]
    pub delegation: Delegation,
    /// Whether the load balancer may be admitted in the instance's own security group.
    /// Default: in a group that is not its VPC's default group, or has the tag `albatross:open` = `true`.
    pub open_instance_group: Option<bool>,
    #[serde(default)]
    pub on_failure: OnFailure,
    /// RFC 3339. The nightly rule leaves the environment alone until then.
    pub keep_until: Option<String>,
    #[serde(default)]
    pub mode: Mode,
    /// A morning writes it: what the night has put back at the domain, and the provision may replace again.
    #[serde(default)]
    pub put_back: Vec<Returned>,
}

/// A value of a record that a teardown puts back, and the instance that it leads to. By it the next provision recognises the
/// record, whatever address the instance has then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Returned {
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
    pub instance: String,
}

/// The health check of the target group. The limits are ELB's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HealthCheck {
    pub path: String,
    /// 5 to 300.
    pub interval_seconds: i32,
    /// 2 to 120, less than the interval.
    pub timeout_seconds: i32,
    /// 2 to 10.
    pub healthy_threshold: i32,
    /// 2 to 10.
    pub unhealthy_threshold: i32,
    /// HTTP status codes: `200`, `200,204` or `200-299`.
    pub matcher: String,
}

impl Default for HealthCheck {
    /// Quick checks: a new target is healthy after about ten seconds, and after about thirty with ELB's own default.
    fn default() -> Self {
        HealthCheck {
            path: "/health".into(),
            interval_seconds: 10,
            timeout_seconds: 5,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            matcher: "200".into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Zones {
    All,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpAddressType {
    #[default]
    Ipv4,
    Dualstack,
}

/// The status that the HTTP listener redirects with; ELB offers these two (API reference, RedirectActionConfig).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum Redirect {
    /// 301. Browsers keep it for as long as they like (RFC 9110, 15.4.2), also while the site is back on HTTP at night.
    Permanent,
    /// 302.
    #[default]
    Temporary,
}

impl From<Redirect> for u16 {
    fn from(redirect: Redirect) -> u16 {
        match redirect {
            Redirect::Permanent => 301,
            Redirect::Temporary => 302,
        }
    }
}

impl TryFrom<u16> for Redirect {
    type Error = String;

    fn try_from(status: u16) -> std::result::Result<Self, String> {
        [Redirect::Permanent, Redirect::Temporary]
            .into_iter()
            .find(|redirect| u16::from(*redirect) == status)
            .ok_or_else(|| format!("{status} is not 301 or 302, the two that a load balancer redirects with"))
    }
}

/// What a provision may do to a record that stands where its alias must go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsPolicy {
    /// Replace and remember it where it points at one of the instances.
    #[default]
    Takeover,
    /// Never replace it.
    CreateOnly,
    /// Replace and remember it, whatever it points at.
    Overwrite,
}

/// Whether check-input asks public DNS if the hosted zone is the one that the internet asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delegation {
    #[default]
    Check,
    /// The user knows that the internet asks it, or soon will.
    Trust,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    #[default]
    Rollback,
    Keep,
}

/// What an execution does about the differences between what is wanted and what stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Apply,
    /// Report what apply would do; change nothing.
    Plan,
}

fn default_port() -> u16 {
    80
}

/// AWS's recommendation (ELB user guide, security policies); the API's own default is still `ELBSecurityPolicy-2016-08`.
fn default_tls_policy() -> String {
    "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09".into()
}

fn default_hsts_max_age() -> u32 {
    300
}

fn default_drop_invalid_headers() -> bool {
    true
}

/// Parses the input of any execution. An error has the JSON path of the field at fault. A field `Comment` is ignored: the Step
/// Functions console begins every execution with `{"Comment": "Insert your JSON here"}`.
///
/// # Errors
/// [`Error::InvalidInput`].
pub fn parse<T: DeserializeOwned>(mut input: Value) -> Result<T> {
    let Some(fields) = input.as_object_mut() else {
        return Err(Error::input("$", format!("the input is a JSON object such as {LEAST_INPUT}")));
    };
    if fields.get("Comment").is_some_and(Value::is_string) {
        fields.remove("Comment");
    }
    serde_path_to_error::deserialize(input).map_err(|error| {
        let path = error.path().iter().map(selector).fold("$".to_owned(), |path, next| path + &next);
        Error::input(path, error.into_inner().to_string())
    })
}

/// Writes one step of a JSON path (RFC 9535): `.name` or `[0]`, and `["a name"]` where a dot would be misread.
fn selector(segment: &Segment) -> String {
    let is_plain = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match segment {
        Segment::Seq { index } => format!("[{index}]"),
        Segment::Map { key: name } | Segment::Enum { variant: name } if is_plain(name) => format!(".{name}"),
        Segment::Map { key: name } | Segment::Enum { variant: name } => format!("[{}]", Value::from(name.as_str())),
        Segment::Unknown => String::new(),
    }
}

impl Input {
    /// Parses an input, and checks everything that can be checked without asking AWS. The domain comes out in ASCII lower case.
    ///
    /// # Errors
    /// [`Error::InvalidInput`].
    pub fn parse(input: Value) -> Result<Input> {
        // serde would read a list as the fields of a struct in their order.
        if input.get("healthCheck").is_some_and(|check| !check.is_object()) {
            return Err(Error::input("$.healthCheck", "is a JSON object such as {\"path\": \"/health\"}"));
        }
        check_ranges(&input)?;
        let mut input: Input = parse(input).map_err(|error| match error {
            Error::InvalidInput { path, problem } if path == "$" && problem.starts_with("missing") => {
                Error::input(path, format!("{problem}. The least that an input says is {LEAST_INPUT}"))
            }
            other => other,
        })?;
        input.domain = names::domain(&input.domain)?;
        input.check_domain()?;
        input.check_instances()?;
        if let Some(name) = &input.name {
            names::check(name)?;
        }
        if input.port == 0 {
            return Err(Error::input("$.port", "0 is not a port; ports are 1 to 65535"));
        }
        input.health_check.check()?;
        input.check_subnets()?;
        input.check_cidrs()?;
        input.check_tls_policy()?;
        input.check_certificate()?;
        input.check_keep_until()?;
        Ok(input)
    }

    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| names::default(&self.domain))
    }

    fn check_domain(&self) -> Result<()> {
        let length = self.domain.len();
        if self.certificate_arn.is_none() && length > CERTIFICATE_DOMAIN_MAX {
            let most = format!("ACM takes at most {CERTIFICATE_DOMAIN_MAX}");
            let problem = format!("{length} characters; {most}. Give a \"certificateArn\" that covers it");
            return Err(Error::input("$.domain", problem));
        }
        Ok(())
    }

    fn check_tls_policy(&self) -> Result<()> {
        let policy = self.tls_policy.strip_prefix("ELBSecurityPolicy-").unwrap_or_default();
        if policy.is_empty() || !policy.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let problem = "an ELB security policy's name is ELBSecurityPolicy- and letters, digits and hyphens";
            return Err(Error::input("$.tlsPolicy", problem));
        }
        Ok(())
    }

    fn check_certificate(&self) -> Result<()> {
        match &self.certificate_arn {
            Some(arn) if !(arn.starts_with("arn:") && arn.contains(":acm:")) => {
                Err(Error::input("$.certificateArn", format!("{arn:?} is not the ARN of an ACM certificate")))
            }
            _ => Ok(()),
        }
    }

    fn check_keep_until(&self) -> Result<()> {
        let Some(until) = &self.keep_until else { return Ok(()) };
        date_time(until).map_err(|problem| Error::input("$.keepUntil", problem))?;
        if until.len() > TAG_VALUE_MAX {
            let problem = format!("{} characters; it is kept in a tag, which has at most {TAG_VALUE_MAX}", until.len());
            return Err(Error::input("$.keepUntil", problem));
        }
        Ok(())
    }

    fn check_instances(&self) -> Result<()> {
        if self.instances.is_empty() {
            return Err(Error::input("$.instances", "empty; give at least one instance id"));
        }
        for (index, id) in self.instances.iter().enumerate() {
            let path = format!("$.instances[{index}]");
            if !is_id(id, "i-") {
                return Err(Error::input(path, format!("{id:?} is not an instance id such as i-0abc1234def567890")));
            }
            if self.instances[..index].contains(id) {
                return Err(Error::input(path, format!("{id} is given twice")));
            }
        }
        Ok(())
    }

    fn check_subnets(&self) -> Result<()> {
        let Some(subnets) = &self.subnets else { return Ok(()) };
        if self.zones.is_some() {
            return Err(Error::input("$.zones", "give \"zones\" or \"subnets\", not both"));
        }
        if subnets.len() < 2 {
            return Err(Error::input(
                "$.subnets",
                "a load balancer needs at least two subnets, in two Availability Zones",
            ));
        }
        for (index, id) in subnets.iter().enumerate() {
            if !is_id(id, "subnet-") {
                return Err(Error::input(format!("$.subnets[{index}]"), format!("{id:?} is not a subnet id")));
            }
        }
        Ok(())
    }

    fn check_cidrs(&self) -> Result<()> {
        let Some(cidrs) = &self.allowed_cidrs else { return Ok(()) };
        if cidrs.is_empty() {
            return Err(Error::input("$.allowedCidrs", "empty: nobody could reach the load balancer"));
        }
        for (index, cidr) in cidrs.iter().enumerate() {
            let path = format!("$.allowedCidrs[{index}]");
            if cidr.trunc() != *cidr {
                return Err(Error::input(path, format!("{cidr} has host bits set; did you mean {}?", cidr.trunc())));
            }
            if matches!(cidr, IpNet::V6(_)) && self.ip_address_type == IpAddressType::Ipv4 {
                return Err(Error::input(path, "an IPv6 range needs \"ipAddressType\": \"dualstack\""));
            }
        }
        let (v4, v6): (BTreeSet<&IpNet>, BTreeSet<&IpNet>) =
            cidrs.iter().partition(|cidr| matches!(cidr, IpNet::V4(_)));
        for (kind, ranges) in [("IPv4", v4), ("IPv6", v6)] {
            if ranges.len() > RANGES_MOST {
                let merged = IpNet::aggregate(&ranges.iter().map(|range| **range).collect()).len();
                return Err(Error::input(
                    "$.allowedCidrs",
                    format!(
                        "{} {kind} ranges take {} rules, one each for ports 80 and 443, and a security group holds {}. Give at most {RANGES_MOST}; with neighbours merged these are {merged}",
                        ranges.len(),
                        2 * ranges.len(),
                        2 * RANGES_MOST,
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Returns the given ranges, or everybody.
    pub fn allowed_cidrs(&self) -> Vec<IpNet> {
        self.allowed_cidrs.clone().unwrap_or_else(|| {
            let everybody = ["0.0.0.0/0", "::/0"].map(|range| range.parse().expect("a CIDR range"));
            match self.ip_address_type {
                IpAddressType::Ipv4 => everybody[..1].to_vec(),
                IpAddressType::Dualstack => everybody.to_vec(),
            }
        })
    }
}

/// Checks each of `allowedCidrs` with a message about the whole range: the parser's own message is about a part of it.
fn check_ranges(input: &Value) -> Result<()> {
    let ranges = input.get("allowedCidrs").and_then(Value::as_array).into_iter().flatten();
    for (index, text) in ranges.enumerate().filter_map(|(index, range)| Some((index, range.as_str()?))) {
        if text.parse::<IpNet>().is_ok() {
            continue;
        }
        let problem = match text.parse::<IpAddr>() {
            Ok(address) => {
                format!("{text} is an address, not a range; did you mean {}?", IpNet::from(address))
            }
            Err(_) => format!("{text:?} is not a range of addresses such as 203.0.113.0/24"),
        };
        return Err(Error::input(format!("$.allowedCidrs[{index}]"), problem));
    }
    Ok(())
}

impl HealthCheck {
    /// Whether the matcher counts this status as healthy.
    pub fn admits(&self, status: u16) -> bool {
        self.matcher.split(',').any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let is = |text: &str, wanted: fn(u16, u16) -> bool| text.parse().is_ok_and(|code| wanted(status, code));
            is(first, |status, code| status >= code) && is(last, |status, code| status <= code)
        })
    }

    fn check(&self) -> Result<()> {
        let wrong = |field: &str, problem: String| Err(Error::input(format!("$.healthCheck.{field}"), problem));
        if !self.path.starts_with('/')
            || self.path.len() > 1024
            || !self.path.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return wrong(
                "path",
                format!(
                    "{:?} is not a path of at most 1024 printable ASCII characters, none a space, that starts with /; write others as %20",
                    self.path
                ),
            );
        }
        for (field, value, least, most) in [
            ("intervalSeconds", self.interval_seconds, 5, 300),
            ("timeoutSeconds", self.timeout_seconds, 2, 120),
            ("healthyThreshold", self.healthy_threshold, 2, 10),
            ("unhealthyThreshold", self.unhealthy_threshold, 2, 10),
        ] {
            if !(least..=most).contains(&value) {
                return wrong(field, format!("{value} is not between {least} and {most}"));
            }
        }
        if self.timeout_seconds >= self.interval_seconds {
            let problem = format!(
                "timeoutSeconds, {}, must be less than intervalSeconds, {}",
                self.timeout_seconds, self.interval_seconds
            );
            return Err(Error::input("$.healthCheck", problem));
        }
        if !self.matcher.split(',').all(is_status_range) {
            return wrong(
                "matcher",
                format!("{:?} is not one of 200, 200,204 or 200-299, within 200 to 499", self.matcher),
            );
        }
        Ok(())
    }
}

/// Whether a text is `200` or `200-299`, within what ELB takes for an application load balancer.
fn is_status_range(range: &str) -> bool {
    let status = |text: &str| text.len() == 3 && text.parse().is_ok_and(|code: u16| (200..=499).contains(&code));
    match range.split_once('-') {
        Some((first, last)) => status(first) && status(last) && first <= last,
        None => status(range),
    }
}

/// Whether a text is an AWS id: the prefix and 8 or 17 lower-case hexadecimal digits.
fn is_id(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17)
            && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// Reads the moment that an RFC 3339 date-time names. The error says what is wrong with the text.
pub fn date_time(text: &str) -> std::result::Result<SystemTime, String> {
    let wrong = || format!("{text:?} is not a date-time such as 2026-12-24T18:00:00Z");
    let moment = DateTime::from_str(text, Format::DateTimeWithOffset).map_err(|_| wrong())?;
    u64::try_from(moment.secs())
        .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn minimal() -> Value {
        json!({"domain": "api.example.com", "instances": ["i-0abc1234def567890"]})
    }

    fn with(field: &str, value: Value) -> Value {
        let mut input = minimal();
        input[field] = value;
        input
    }

    fn path_of_error(input: Value) -> String {
        match Input::parse(input.clone()) {
            Err(Error::InvalidInput { path, .. }) => path,
            other => panic!("{input} gave {other:?}"),
        }
    }

    #[test]
    fn three_lines_are_enough() {
        let input = Input::parse(minimal()).unwrap();
        assert_eq!(input.name(), "api-example-com");
        assert_eq!((input.port, input.hsts_max_age), (80, 300));
        assert_eq!(input.health_check, HealthCheck::default());
        assert_eq!(input.tls_policy, "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09");
        assert_eq!(input.allowed_cidrs(), ["0.0.0.0/0".parse().unwrap()]);
    }

    #[test]
    fn bad_input_names_its_path() {
        let cases = [
            (json!([]), "$"),
            (json!({"instances": ["i-0abc1234def567890"]}), "$"),
            (with("instance", json!("i-0abc1234def567890")), "$.instance"),
            (with("healthCheck", json!({"pth": "/"})), "$.healthCheck.pth"),
            (with(".", json!(1)), "$[\".\"]"),
            (with("health.check", json!({})), "$[\"health.check\"]"),
            (with("instances", json!([])), "$.instances"),
            (with("instances", json!(["i-0abc1234def567890", 7])), "$.instances[1]"),
            (with("instances", json!(["i-0abc1234def567890", "web-1"])), "$.instances[1]"),
            (with("instances", json!(["i-0abc1234def567890", "i-0abc1234def567890"])), "$.instances[1]"),
            (with("domain", json!("not a domain")), "$.domain"),
            (with("domain", json!("localhost")), "$.domain"),
            (with("domain", json!("a..example.com")), "$.domain"),
            (with("domain", json!("-a.example.com")), "$.domain"),
            (with("domain", json!("192.0.2.1")), "$.domain"),
            (with("domain", json!("api.x")), "$.domain"),
            (with("domain", json!("*.example.com")), "$.domain"),
            (with("domain", json!(format!("{}.example.com", "a".repeat(60)))), "$.domain"),
            (with("name", json!("twenty-characters-xx")), "$.name"),
            (with("name", json!("Api")), "$.name"),
            (with("name", json!("a--b")), "$.name"),
            (with("name", json!("internal-api")), "$.name"),
            (with("name", json!("")), "$.name"),
            (with("port", json!(0)), "$.port"),
            (with("port", json!(65_536)), "$.port"),
            (with("port", json!("80")), "$.port"),
            (with("allowedCidrs", json!(["10.0.0.0/33"])), "$.allowedCidrs[0]"),
            (with("allowedCidrs", json!(["10.0.0.0/8", "10.0.0.1/8"])), "$.allowedCidrs[1]"),
            (with("allowedCidrs", json!(["::/0"])), "$.allowedCidrs[0]"),
            (with("allowedCidrs", json!([])), "$.allowedCidrs"),
            (with("allowedCidrs", json!(["office"])), "$.allowedCidrs[0]"),
            (with("allowedCidrs", json!([7])), "$.allowedCidrs[0]"),
            (with("redirect", json!(303)), "$.redirect"),
            (with("redirect", json!("301")), "$.redirect"),
            (with("dropInvalidHeaders", json!("no")), "$.dropInvalidHeaders"),
            (with("Comment", json!(1)), "$.Comment"),
            (with("healthCheck", json!(["/health"])), "$.healthCheck"),
            (with("healthCheck", json!({"path": "health"})), "$.healthCheck.path"),
            (with("healthCheck", json!({"path": "/\0"})), "$.healthCheck.path"),
            (with("healthCheck", json!({"path": "/grün"})), "$.healthCheck.path"),
            (with("healthCheck", json!({"intervalSeconds": 4})), "$.healthCheck.intervalSeconds"),
            (with("healthCheck", json!({"timeoutSeconds": 10})), "$.healthCheck"),
            (with("healthCheck", json!({"intervalSeconds": 5})), "$.healthCheck"),
            (with("healthCheck", json!({"timeoutSeconds": 121})), "$.healthCheck.timeoutSeconds"),
            (with("healthCheck", json!({"matcher": "200-199"})), "$.healthCheck.matcher"),
            (with("subnets", json!(["subnet-0abc1234def567890"])), "$.subnets"),
            (with("subnets", json!(["subnet-0abc1234def567890", "here"])), "$.subnets[1]"),
            (with("tlsPolicy", json!("modern")), "$.tlsPolicy"),
            (with("tlsPolicy", json!("ELBSecurityPolicy-")), "$.tlsPolicy"),
            (with("tlsPolicy", json!("ELBSecurityPolicy-TLS 1.3")), "$.tlsPolicy"),
            (with("dns", json!("steal")), "$.dns"),
            (with("onFailure", json!("panic")), "$.onFailure"),
            (with("mode", json!("dry")), "$.mode"),
            (with("mode", json!(true)), "$.mode"),
            (with("certificateArn", json!("arn:aws:iam::1:server-certificate/x")), "$.certificateArn"),
            (with("keepUntil", json!("tomorrow")), "$.keepUntil"),
            (with("keepUntil", json!(format!("2026-12-24T18:00:00.{}Z", "0".repeat(256)))), "$.keepUntil"),
        ];
        for (input, path) in cases {
            assert_eq!(path_of_error(input.clone()), path, "{input}");
        }
    }

    fn problem_of(input: Value) -> String {
        match Input::parse(input.clone()) {
            Err(Error::InvalidInput { problem, .. }) => problem,
            other => panic!("{input} gave {other:?}"),
        }
    }

    #[test]
    fn a_comment_is_no_field() {
        let commented = with("Comment", json!("Insert your JSON here"));
        assert_eq!(format!("{:?}", Input::parse(commented)), format!("{:?}", Input::parse(minimal())));
    }

    #[test]
    fn an_empty_input_is_told_what_the_least_is() {
        for input in [json!({}), json!({"Comment": "Insert your JSON here"}), json!({"domain": "api.example.com"})] {
            let problem = problem_of(input);
            assert!(problem.starts_with("missing field"), "{problem}");
            assert!(problem.ends_with(LEAST_INPUT), "{problem}");
        }
        assert!(Input::parse(serde_json::from_str(LEAST_INPUT).unwrap()).is_ok());
    }

    #[test]
    fn an_address_among_the_ranges_is_told_its_range() {
        let of = |address: &str| problem_of(with("allowedCidrs", json!(["192.0.2.0/24", address])));
        assert_eq!(of("203.0.113.7"), "203.0.113.7 is an address, not a range; did you mean 203.0.113.7/32?");
        assert_eq!(of("2001:db8::7"), "2001:db8::7 is an address, not a range; did you mean 2001:db8::7/128?");
    }

    #[test]
    fn more_ranges_than_a_group_holds_rules_for_are_refused() {
        let ranges = |count: usize| -> Vec<String> { (0..count).map(|n| format!("10.0.{n}.0/24")).collect() };
        let v6 = |count: usize| -> Vec<String> { (0..count).map(|n| format!("2001:db8:{n}::/48")).collect() };
        assert!(Input::parse(with("allowedCidrs", json!(ranges(30)))).is_ok());
        // The same range given twice takes one rule.
        assert!(Input::parse(with("allowedCidrs", json!([ranges(30), ranges(1)].concat()))).is_ok());
        let problem = problem_of(with("allowedCidrs", json!(ranges(32))));
        assert!(problem.starts_with("32 IPv4 ranges take 64 rules"), "{problem}");
        assert!(problem.ends_with("merged these are 1"), "{problem}");
        let mut both = with("allowedCidrs", json!([ranges(30), v6(30)].concat()));
        both["ipAddressType"] = json!("dualstack");
        assert!(Input::parse(both.clone()).is_ok());
        both["allowedCidrs"] = json!(v6(31));
        assert!(problem_of(both).starts_with("31 IPv6 ranges"));
    }

    #[test]
    fn http_redirects_for_now_unless_told() {
        let redirect = |input: Value| Input::parse(input).unwrap().redirect;
        assert_eq!(redirect(minimal()), Redirect::Temporary);
        assert_eq!(redirect(with("redirect", json!(302))), Redirect::Temporary);
        assert_eq!(redirect(with("redirect", json!(301))), Redirect::Permanent);
        assert_eq!(serde_json::to_value(Redirect::Permanent).unwrap(), json!(301));
    }

    #[test]
    fn a_matcher_admits_its_codes_and_ranges() {
        let admits = |matcher: &str, status: u16| {
            HealthCheck { matcher: matcher.into(), ..HealthCheck::default() }.admits(status)
        };
        assert!(admits("200", 200) && admits("200,401", 401) && admits("200-299,404", 204));
        assert!(!admits("200", 201) && !admits("200,204", 202) && !admits("200-299", 301));
    }

    #[test]
    fn keep_until_reads_zones() {
        assert_eq!(date_time("2026-12-24T18:00:00+09:00"), date_time("2026-12-24T09:00:00Z"));
    }
}
