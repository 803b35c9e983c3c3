//! CAA records: which authorities may issue certificates for a name (RFC 8659). No I/O.

use std::fmt;

/// The names by which CAA records admit ACM; one of them is enough (ACM user guide, "Configure a CAA record").
const AMAZON: [&str; 4] = ["amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"];

/// One property of a CAA record set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub flags: u8,
    pub tag: String,
    pub value: String,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} \"{}\"", self.flags, self.tag, self.value)
    }
}

impl Property {
    /// Reads a property as Route 53 writes it: `0 issue "amazon.com"`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim().splitn(3, ' ');
        let (flags, tag, value) = (fields.next()?, fields.next()?, fields.next()?);
        let value = value.trim().trim_matches('"');
        Some(Property { flags: flags.parse().ok()?, tag: tag.into(), value: value.into() })
    }

    /// Whether the property admits ACM: the authority's name comes before any parameters (RFC 8659, 4.2).
    fn admits_amazon(&self) -> bool {
        let issuer = self.value.split(';').next().unwrap_or_default().trim();
        AMAZON.iter().any(|amazon| issuer.eq_ignore_ascii_case(amazon))
    }
}

/// Whether ACM must not issue a certificate for a name for which these properties hold. Without an `issue` property any
/// authority may; the other properties are about wildcards and mail (RFC 8659, 4.2 and 4.3).
pub fn forbids_amazon(properties: &[Property]) -> bool {
    let mut issue = properties.iter().filter(|property| property.tag.eq_ignore_ascii_case("issue")).peekable();
    issue.peek().is_some() && !issue.any(Property::admits_amazon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_property_forbids_all_that_none_admits() {
        let forbids = |texts: &[&str]| {
            let properties: Vec<_> = texts.iter().filter_map(|text| Property::parse(text)).collect();
            assert_eq!(properties.len(), texts.len());
            forbids_amazon(&properties)
        };
        assert!(!forbids(&[]));
        assert!(!forbids(&["0 issue \"amazon.com\""]));
        assert!(!forbids(&["0 issue \"letsencrypt.org\"", "0 issue \"AmazonTrust.com; policy=ev\""]));
        assert!(!forbids(&["0 issuewild \"letsencrypt.org\"", "0 iodef \"mailto:security@example.com\""]));
        assert!(forbids(&["0 issue \"letsencrypt.org\""]));
        assert!(forbids(&["128 ISSUE \";\""]));
        assert!(forbids(&["0 issue \"notamazon.com\"", "0 issuewild \"amazon.com\""]));
    }
}
