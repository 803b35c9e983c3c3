//! The user's Elastic IP addresses: released at teardown with consent. An unassociated one costs as much as one in use.

use std::collections::HashSet;

use aws_sdk_ec2 as ec2;
use ec2::types::Tag;
use serde::{Deserialize, Serialize};

use crate::error::{Call, Codes, Error, Result};
use crate::resource::tags::{ENVIRONMENT, ON_TEARDOWN, STACK, Tags};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    pub allocation_id: String,
    pub public_ip: String,
    pub consent: bool,
    /// Of the instance that it is associated with.
    pub instance: Option<String>,
    association_id: Option<String>,
    marked: bool,
}

impl Address {
    #[cfg(test)]
    pub fn of_instance(instance: &str, public_ip: &str, consent: bool) -> Self {
        Address {
            allocation_id: "eipalloc-1".into(),
            public_ip: public_ip.into(),
            consent,
            instance: Some(instance.into()),
            association_id: Some("eipassoc-1".into()),
            marked: false,
        }
    }
}

/// The user's Elastic IPs.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Those of the environment.
    pub ours: Vec<Address>,
    /// The addresses of all that the account has in the region.
    pub all: HashSet<String>,
    /// Those of them whose user consented to their release.
    pub consented: HashSet<String>,
}

fn releases(tags: &Tags) -> bool {
    tags.get(ON_TEARDOWN) == Some("release")
}

/// The addresses of these instances, and those that an interrupted [`remove`] has marked as this environment's.
pub async fn find(
    client: &ec2::Client,
    instances: &HashSet<String>,
    stack: &str,
    environment: &str,
) -> Result<Addresses> {
    // The API does not page, and has no filter for "either of".
    let answer = client.describe_addresses().send().await.call("ec2:DescribeAddresses")?;
    let found = answer.addresses().iter().filter_map(|address| {
        let tags = Tags::from(address.tags());
        let marked = tags.are_of(stack, environment);
        let associated = address.instance_id().is_some_and(|id| instances.contains(id));
        (marked || associated).then(|| Address {
            allocation_id: address.allocation_id().unwrap_or_default().into(),
            public_ip: address.public_ip().unwrap_or_default().into(),
            consent: releases(&tags),
            instance: address.instance_id().map(Into::into),
            association_id: address.association_id().filter(|id| !id.is_empty()).map(Into::into),
            marked,
        })
    });
    let ours = found.collect();
    let public = |address: &ec2::types::Address| address.public_ip().map(Into::into);
    let consents = |address: &&ec2::types::Address| releases(&Tags::from(address.tags()));
    Ok(Addresses {
        ours,
        all: answer.addresses().iter().filter_map(public).collect(),
        consented: answer.addresses().iter().filter(consents).filter_map(public).collect(),
    })
}

/// Releases an address whose user consented. Again is safe.
pub async fn remove(client: &ec2::Client, address: &Address, stack: &str, environment: &str) -> Result<()> {
    if let Some(association) = &address.association_id {
        // Once disassociated nothing leads from the environment to the address: mark it first, or a crash here
        // leaves an idle address that is billed and that nobody finds. Without the mark it goes all the same.
        if !address.marked {
            let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
            let marked = client
                .create_tags()
                .resources(&address.allocation_id)
                .tags(tag(STACK, stack))
                .tags(tag(ENVIRONMENT, environment))
                .send()
                .await
                .call("ec2:CreateTags");
            if !matches!(marked, Err(Error::AwsRefused(_))) {
                marked?;
            }
        }
        client
            .disassociate_address()
            .association_id(association)
            .send()
            .await
            .call("ec2:DisassociateAddress")
            .unless(&["InvalidAssociationID.NotFound"])?;
    }
    client
        .release_address()
        .allocation_id(&address.allocation_id)
        .send()
        .await
        .call("ec2:ReleaseAddress")
        .unless(&["InvalidAllocationID.NotFound"])
        .map(drop)
}
