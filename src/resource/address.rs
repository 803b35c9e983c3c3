//! The user's Elastic IP addresses: a teardown releases them with consent. One that nothing uses costs as much as one in use.

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
    /// The user consented to its release.
    pub consent: bool,
    /// Id of the instance with which it is associated.
    pub instance: Option<String>,
    association_id: Option<String>,
    /// It carries the tags with which [`remove`] marks what it releases.
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

/// The Elastic IPs of the account and region.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Those of the environment's instances, and those that an interrupted [`remove`] has marked.
    pub ours: Vec<Address>,
    /// The public addresses of all of them.
    pub all: HashSet<String>,
    /// The public addresses of those whose user consented to their release.
    pub consented: HashSet<String>,
}

fn releases(tags: &Tags) -> bool {
    tags.get(ON_TEARDOWN) == Some("release")
}

/// Reads the addresses; `instances` are the ids of the environment's.
pub async fn find(
    client: &ec2::Client,
    instances: &HashSet<String>,
    stack: &str,
    environment: &str,
) -> Result<Addresses> {
    // The API does not page, and has no filter for addresses that match one filter or another.
    let answer = client.describe_addresses().send().await.call("ec2:DescribeAddresses")?;
    let ours = answer.addresses().iter().filter_map(|address| {
        let tags = Tags::from(address.tags());
        let marked = tags.are_of(stack, environment);
        let associated = address.instance_id().is_some_and(|id| instances.contains(id));
        if !marked && !associated {
            return None;
        }
        Some(Address {
            allocation_id: address.allocation_id()?.into(),
            public_ip: address.public_ip()?.into(),
            consent: releases(&tags),
            instance: address.instance_id().map(Into::into),
            association_id: address.association_id().filter(|id| !id.is_empty()).map(Into::into),
            marked,
        })
    });
    let ours = ours.collect();
    let public = |address: &ec2::types::Address| address.public_ip().map(Into::into);
    let consents = |address: &&ec2::types::Address| releases(&Tags::from(address.tags()));
    Ok(Addresses {
        ours,
        all: answer.addresses().iter().filter_map(public).collect(),
        consented: answer.addresses().iter().filter(consents).filter_map(public).collect(),
    })
}

/// Releases an address whose user consented. Safe to repeat.
pub async fn remove(client: &ec2::Client, address: &Address, stack: &str, environment: &str) -> Result<()> {
    if let Some(association) = &address.association_id {
        // Once it is disassociated nothing leads from the environment to the address: it is marked first, or a crash here
        // leaves an idle address that is billed and that nobody finds. Where AWS refuses the mark it is released all the same.
        if !address.marked {
            match mark(client, &address.allocation_id, stack, environment).await {
                Err(Error::AwsRefused(_)) => {}
                marked => marked?,
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

/// Tags an address as one that this environment is to release.
async fn mark(client: &ec2::Client, allocation_id: &str, stack: &str, environment: &str) -> Result<()> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = vec![tag(STACK, stack), tag(ENVIRONMENT, environment)];
    client.create_tags().resources(allocation_id).set_tags(Some(tags)).send().await.call("ec2:CreateTags").map(drop)
}
