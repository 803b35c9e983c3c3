//! The names of an environment, and of everything that is made for it. No I/O.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The longest name of an environment: what `<name>-target-group` leaves of ELB's 32 characters.
const NAME_MAX: usize = 19;
/// The longest name in DNS: it has at most 255 octets, which are 253 characters (RFC 1035, 2.3.4).
const DNS_NAME_MAX: usize = 253;
/// The longest value of a tag, in characters (ELB API reference, Tag).
pub const TAG_VALUE_MAX: usize = 256;
/// The beginning of the description of a load balancer's network interface: `ELB app/<name>/<id>`.
pub const LOAD_BALANCER_INTERFACES: &str = "ELB app/";

pub fn load_balancer(environment: &str) -> String {
    format!("{environment}-elb")
}

pub fn security_group(environment: &str) -> String {
    load_balancer(environment)
}

/// What a plan writes for the id of what is to be made: AWS gives ids as it makes things.
pub fn to_be_made(name: &str) -> String {
    format!("<{name}>")
}

/// The end of the names of target groups.
pub const TARGET_GROUP_SUFFIX: &str = "-target-group";

pub fn target_group(environment: &str) -> String {
    format!("{environment}{TARGET_GROUP_SUFFIX}")
}

/// Returns the name of the ownership record: the TXT record that says who owns the records of a domain.
pub fn ownership_record(domain: &str) -> String {
    format!("_albatross.{domain}")
}

/// Returns the name of the lock record: the TXT record that names the execution at work on a domain. Route 53 lists it next to
/// the ownership record, so that one read shows both.
pub fn lock_record(domain: &str) -> String {
    format!("_lock.{}", ownership_record(domain))
}

/// Reads a host name, and returns it in ASCII lower case (IDNA) without a trailing dot.
///
/// # Errors
/// [`Error::InvalidInput`] at `$.domain`.
pub fn domain(text: &str) -> Result<String> {
    let wrong = |problem: &str| Err(Error::input("$.domain", format!("{text:?} {problem}")));
    if text.contains('*') {
        return wrong(
            "is a wildcard: an environment is one host name. Make one for each, or cover several with a wildcard \"certificateArn\"",
        );
    }
    let Ok(ascii) = idna::domain_to_ascii_strict(text.strip_suffix('.').unwrap_or(text)) else {
        return wrong("is not a host name such as api.example.com");
    };
    let labels: Vec<&str> = ascii.split('.').collect();
    // ACM's pattern of a domain name wants two characters at its end (API reference, RequestCertificate).
    let is_short = labels.last().is_none_or(|last| last.len() < 2);
    if labels.len() < 2 || labels.iter().any(|label| label.is_empty()) || is_short || ascii.parse::<IpAddr>().is_ok() {
        return wrong("is not a host name with at least two labels, such as api.example.com");
    }
    if lock_record(&ascii).len() > DNS_NAME_MAX {
        return wrong("is too long: its lock record, _lock._albatross.<domain>, must fit DNS's 253 characters");
    }
    Ok(ascii)
}

/// Checks a name that is given to an environment.
///
/// # Errors
/// [`Error::InvalidInput`] at `$.name`.
pub fn check(name: &str) -> Result<()> {
    let wrong = |problem: String| Err(Error::input("$.name", format!("{name:?} {problem}")));
    if name.is_empty() || name.len() > NAME_MAX {
        return wrong(format!(
            "has {} characters; a name has 1 to {NAME_MAX}, so that <name>-target-group fits ELB's 32",
            name.len()
        ));
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        || name.starts_with('-')
        || name.ends_with('-')
        || name.contains("--")
    {
        return wrong("is not made of a-z, 0-9 and single inner hyphens".into());
    }
    if is_reserved(name) {
        return wrong(
            "starts with a prefix that AWS reserves: internal- (load balancers) or sg- (security groups)".into(),
        );
    }
    Ok(())
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("internal-") || name.starts_with("sg-") || name == "internal" || name == "sg"
}

/// Returns the name of an environment that is given none: its domain with hyphens for dots. Where that is too long or
/// reserved, it is the domain's beginning and a hash of it.
pub fn default(domain: &str) -> String {
    // A name has no two hyphens in a row. A label may have, such as xn--bcher-kva or abc--d.
    let words: Vec<&str> = domain.split(['.', '-']).filter(|word| !word.is_empty()).collect();
    let plain = words.join("-");
    if plain.len() <= NAME_MAX && !is_reserved(&plain) {
        return plain;
    }
    let hash = hash(domain, 6);
    let beginning = plain[..plain.len().min(NAME_MAX - 7)].trim_end_matches('-');
    if is_reserved(&plain) { format!("e-{hash}") } else { format!("{beginning}-{hash}") }
}

/// Returns the first `digits` hexadecimal digits of the SHA-256 of `text`.
pub fn hash(text: &str, digits: usize) -> String {
    let mut hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_taken_in_any_spelling() {
        assert_eq!(domain("API.Example.com.").unwrap(), "api.example.com");
        assert_eq!(domain("bücher.example").unwrap(), "xn--bcher-kva.example");
    }

    #[test]
    fn a_domain_leaves_room_for_its_records() {
        let of = |length: usize| format!("{}{}.de", "a.".repeat(length / 2 - 10), "a".repeat(length % 2 + 17));
        assert_eq!(domain(&of(236)).unwrap().len(), 236);
        assert_eq!(of(237).len(), 237);
        assert!(domain(&of(237)).is_err());
    }

    #[test]
    fn default_names_fit_and_differ() {
        assert_eq!(default("api.example.com"), "api-example-com");
        let names = [
            "a.rather.long.host.example.com",
            "a.rather.long.host.example.org",
            "internal-x.de",
            "sg-1.de",
            "abc--d.de",
            "xn--bcher-kva.de",
        ]
        .map(default);
        for name in &names {
            check(name).unwrap();
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
        }
    }
}
