//! A teardown execution's input: the environment by name or by domain, and how much of it goes. No I/O.

use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TeardownInput {
    pub name: Option<String>,
    pub domain: Option<String>,
    /// Needed where several public zones hold the domain and nothing stands that tells which one is meant.
    pub hosted_zone_id: Option<String>,
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default)]
    pub certificate: CertificatePolicy,
    /// Of a rollback and a clean-up: nothing of the user's own is touched, whatever the user has consented to.
    #[serde(default)]
    pub own_only: bool,
    /// Of a rollback: the ARN of the provision execution, under whose lock it works. A dry run only gives the lock back.
    pub run: Option<String>,
    /// Of a night's teardown: the ARN of the night's execution. It waits for an environment that is busy.
    pub night: Option<String>,
}

/// What happens to the environment's certificate. Certificates are free, and ACM limits how many are requested a year.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificatePolicy {
    #[default]
    Keep,
    Delete,
}
