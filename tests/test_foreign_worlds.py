"""Random worlds full of somebody else's things, as confusing as possible: a provision and a teardown change none.

A world is made from its seed alone. `SEED=123 WORLDS=1` makes that one alone; `make worlds` makes 10,000.
"""

import os
import random
import re
from collections.abc import Callable

import pytest

from harness.snapshot import Snapshot, differences, snapshot
from harness.stack import Execution, Stack
from harness.world import World
from local_aws.endpoints import REGION
from local_aws.local import LocalAws
from local_aws.waiting import until
from local_aws.world import tags_of

SEED = int(os.environ.get("SEED", "0"))
WORLDS = int(os.environ.get("WORLDS", "300"))
# Worlds that stand in one account at the same time: each is foreign to the others too.
BATCH = 10
ELSEWHERE = "eu-west-1"
FOREIGN_ADDRESS = "198.51.100.7"


class Site:
    """A domain, an instance and what others have beside it; all in the network of a `place`."""

    def __init__(self, aws: LocalAws, place: World, stack: str, seed: int):
        self.aws, self.place, self.stack, self.seed = aws, place, stack, seed
        self.random = random.Random(seed)
        self.ec2, self.elb, self.acm = (aws.client(service) for service in ("ec2", "elbv2", "acm"))
        self.parent = f"w{seed}.test"
        self.domain = self.random.choice([f"api.{self.parent}", self.parent])
        self.name = self.random.choice([self.domain.replace(".", "-"), f"shop{seed}"])
        [self.dns] = self.random.choices(["takeover", "create-only", "overwrite"], [6, 1, 3])
        self.on_failure = self.random.choice(["rollback", "keep"])
        self.certificate = self.random.choice(["keep", "delete"])
        self.group = self.place.security_group(f"web-{self.domain}")
        self.instance = place.instance(place.subnets[0], self.group)
        self.address = self._address()
        self.zone = place.hosted_zone(self.parent)
        self.record(self.domain, "A", self.address)
        # Names of errors that a foreign thing may cause. In their absence a provision succeeds.
        self.errors: set[str] = {"DnsRecordConflict"} if self.dns == "create-only" else set()
        self.things = self.random.sample(BESIDE, self.random.randint(2, 6))
        self.things += self.random.sample(IN_THE_WAY, self.random.choice([0, 0, 1, 2]))
        for thing in self.things:
            thing(self)

    def __str__(self) -> str:
        things = ", ".join(thing.__name__ for thing in self.things)
        return f"SEED={self.seed} ({self.domain} as {self.name}, dns {self.dns}: {things})"

    @property
    def input(self) -> dict:
        """Of a provision."""
        named = {"domain": self.domain, "instances": [self.instance], "name": self.name}
        return named | {"dns": self.dns, "onFailure": self.on_failure}

    @property
    def end(self) -> dict:
        """Of a teardown."""
        return {"domain": self.domain, "name": self.name, "certificate": self.certificate}

    def _address(self) -> str:
        address = self.ec2.allocate_address(Domain="vpc")
        self.ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=self.instance)
        return address["PublicIp"]

    def record(self, name: str, kind: str, *values: str, zone: str | None = None) -> None:
        """Write a record."""
        record = {"Type": kind, "TTL": 300, "ResourceRecords": [{"Value": value} for value in values]}
        change = {"Action": "UPSERT", "ResourceRecordSet": {"Name": name, **record}}
        self.aws.client("route53").change_resource_record_sets(
            HostedZoneId=zone or self.zone, ChangeBatch={"Changes": [change]}
        )

    def tags(self) -> list[dict[str, str]]:
        """Tags that are not this environment's, and come close to it."""
        ours = {
            "albatross:stack": self.stack,
            "albatross:environment": self.name,
            "albatross:domain": self.domain,
            "albatross:zone": self.zone,
        }
        without = self.random.choice(["albatross:stack", "albatross:environment"])
        other = self.random.choice(
            [
                {"Name": self.name},
                ours | {"albatross:stack": "another"},
                ours | {"albatross:stack": f"{self.stack}-2"},
                ours | {"albatross:stack": self.stack.upper()},
                ours | {"albatross:environment": f"{self.name}x"},
                {key: value for key, value in ours.items() if key != without},
                {key.replace(":", "-"): value for key, value in ours.items()},
            ]
        )
        return tags_of(**other)

    def other_name(self) -> str:
        """A name that is not the environment's, and comes close to it."""
        return self.random.choice([f"{self.name}x", f"x{self.name}", f"x-{self.name}"])


# --- Somebody else's things --------------------------------------------------------------------------------------


def load_balancer_of_our_name(site: Site) -> None:
    site.errors.add("NotOurs")
    make_load_balancer(site, f"{site.name}-elb")


def load_balancer_of_a_like_name(site: Site) -> None:
    make_load_balancer(site, f"{site.other_name()}-elb")


def make_load_balancer(site: Site, name: str) -> str:
    made = site.elb.create_load_balancer(
        Name=name, Subnets=site.place.subnets, SecurityGroups=[site.group], Tags=site.tags()
    )
    return made["LoadBalancers"][0]["LoadBalancerArn"]


def target_group_of_our_name(site: Site) -> None:
    site.errors.add("NotOurs")
    make_target_group(site, f"{site.name}-target-group")


def target_group_of_a_like_name(site: Site) -> None:
    """With our instance as its target too."""
    group = make_target_group(site, f"{site.other_name()}-target-group"[:32].rstrip("-"))
    site.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": site.instance, "Port": 80}])


def make_target_group(site: Site, name: str) -> str:
    made = site.elb.create_target_group(
        Name=name, Protocol="HTTP", Port=80, VpcId=site.place.vpc, Tags=site.tags()
    )
    return made["TargetGroups"][0]["TargetGroupArn"]


def security_group_of_our_name(site: Site) -> None:
    site.errors.add("NotOurs")
    make_security_group(site, site.random.choice([f"{site.name}-elb", f"{site.name}-ELB".upper()]))


def security_group_of_a_like_name(site: Site) -> None:
    make_security_group(site, f"{site.other_name()}-elb")


def security_group_of_our_name_in_another_network(site: Site) -> None:
    [vpc] = site.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    make_security_group(site, f"{site.name}-elb", vpc["VpcId"])


def make_security_group(site: Site, name: str, vpc: str | None = None) -> str:
    made = site.ec2.create_security_group(
        GroupName=name,
        Description="somebody's",
        VpcId=vpc or site.place.vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": site.tags()}],
    )
    return made["GroupId"]


def rules_in_the_instances_group(site: Site) -> None:
    """One of another load balancer on the same port, and one that is open to a range."""
    other = make_security_group(site, f"another-{site.name}")
    tags = [{"ResourceType": "security-group-rule", "Tags": site.tags()}]
    for source in ({"UserIdGroupPairs": [{"GroupId": other}]}, {"IpRanges": [{"CidrIp": "192.0.2.0/24"}]}):
        rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, **source}
        site.ec2.authorize_security_group_ingress(
            GroupId=site.group, IpPermissions=[rule], TagSpecifications=tags
        )


def instance_with_consent(site: Site) -> None:
    """Which serves another environment, or none."""
    other = site.place.instance(site.place.subnets[0], site.group)
    site.place.tag(other, "albatross:on-teardown", site.random.choice(["stop", "terminate"]))


def instance_without_a_word_of_consent(site: Site) -> None:
    """Our target, tagged with what is no consent."""
    site.place.tag(site.instance, "albatross:on-teardown", site.random.choice(["", "no", "Stop", "release"]))


def idle_address_with_consent(site: Site) -> None:
    allocation = site.ec2.allocate_address(Domain="vpc")["AllocationId"]
    site.ec2.create_tags(Resources=[allocation], Tags=site.tags())
    site.place.tag(allocation, "albatross:on-teardown", "release")


def certificate_for_the_domain(site: Site) -> None:
    """Pending until our own validation record stands: it is the same one."""
    make_certificate(site, site.domain)


def certificate_that_shares_our_record(site: Site) -> None:
    name, more = site.random.choice(
        [(f"*.{site.domain}", []), (f"www.{site.domain}", [site.domain]), (site.domain, [f"*.{site.domain}"])]
    )
    make_certificate(site, name, *more)


def certificate_in_another_region(site: Site) -> None:
    make_certificate(site, site.random.choice([site.domain, f"*.{site.domain}"]), region=ELSEWHERE)


def make_certificate(site: Site, name: str, *more: str, region: str = REGION) -> str:
    acm = site.aws.client("acm", region)
    names = {"SubjectAlternativeNames": list(more)} if more else {}
    made = acm.request_certificate(DomainName=name, ValidationMethod="DNS", Tags=site.tags(), **names)
    return made["CertificateArn"]


def validation(site: Site, certificate: str) -> dict:
    """The domain's validation record, as ACM names it."""
    described = site.acm.describe_certificate(CertificateArn=certificate)["Certificate"]
    return described["DomainValidationOptions"][0]["ResourceRecord"]


def certificate_in_use(site: Site) -> None:
    """For the domain, ISSUED, and held by a load balancer."""
    arn = make_certificate(site, site.domain)
    record = validation(site, arn)
    site.record(record["Name"], "CNAME", record["Value"])
    balancer = make_load_balancer(site, f"used-{site.name}")
    site.elb.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTPS",
        Port=443,
        Certificates=[{"CertificateArn": arn}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}],
        Tags=site.tags(),
    )


def other_value_in_our_validation_record(site: Site) -> None:
    if certificate_in_use not in site.things:
        site.errors.add("DnsRecordConflict")
        record = validation(site, make_certificate(site, site.domain))
        site.record(record["Name"], "CNAME", "elsewhere.acm-validations.aws.")


def foreign_record(site: Site) -> None:
    if site.dns != "overwrite":
        site.errors.add("DnsRecordConflict")
    site.record(site.domain, "A", FOREIGN_ADDRESS)


def foreign_record_of_ipv6(site: Site) -> None:
    if site.dns != "overwrite":
        site.errors.add("DnsRecordConflict")
    site.record(site.domain, "AAAA", "2001:db8::7")


def ownership_record_of_others(site: Site) -> None:
    site.errors.add("DnsRecordConflict")
    heritage = site.random.choice(
        [
            f"heritage=albatross stack=another environment={site.name} target=x.elb.amazonaws.com",
            f"heritage=albatross stack={site.stack} environment={site.name}x target=x.elb.amazonaws.com",
            f"heritage=external-dns stack={site.stack} environment={site.name} target=x.elb.amazonaws.com",
            "v=spf1 -all",
        ]
    )
    site.record(f"_albatross.{site.domain}", "TXT", f'"{heritage}"')


def records_beside_ours(site: Site) -> None:
    site.record(f"www.{site.domain}", "A", site.address)
    site.record(f"*.{site.domain}", "CNAME", "elsewhere.example.net")
    site.record(f"_albatross.www.{site.domain}", "TXT", f'"heritage=albatross stack={site.stack}"')
    site.record(f"_0123456789abcdef.{site.domain}", "CNAME", "_fedcba.acm-validations.aws.")
    site.record(site.domain, "MX", "10 mail.example.net")
    site.record(site.domain, "TXT", '"v=spf1 -all"')


def private_zone_of_the_same_name(site: Site) -> None:
    place = {"VPCRegion": REGION, "VPCId": site.place.vpc}
    settings = {"HostedZoneConfig": {"PrivateZone": True, "Comment": ""}, "VPC": place}
    zone = site.place.hosted_zone(site.parent, **settings)
    site.record(site.domain, "A", FOREIGN_ADDRESS, zone=zone)


def another_public_zone_of_the_same_name(site: Site) -> None:
    site.errors.add("InvalidInput")
    zone = site.place.hosted_zone(site.parent)
    site.record(site.domain, "A", site.address, zone=zone)


def zone_of_a_name_that_ends_alike(site: Site) -> None:
    """`xw1.test` ends with `w1.test`, and holds none of its names."""
    zone = site.place.hosted_zone(f"x{site.parent}")
    site.record(f"x{site.parent}", "A", site.address, zone=zone)


def all_of_ours_in_another_region(site: Site) -> None:
    """With all tags of this environment: what a stack of the same name has there."""
    ours = tags_of(**{"albatross:stack": site.stack, "albatross:environment": site.name})
    ec2, elb = (site.aws.client(service, ELSEWHERE) for service in ("ec2", "elbv2"))
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    group = ec2.create_security_group(
        GroupName=f"{site.name}-elb",
        Description="somebody's",
        TagSpecifications=[{"ResourceType": "security-group", "Tags": ours}],
    )["GroupId"]
    elb.create_load_balancer(Name=f"{site.name}-elb", Subnets=subnets, SecurityGroups=[group], Tags=ours)


# What does not keep a provision from success.
BESIDE: list[Callable[[Site], None]] = [
    load_balancer_of_a_like_name,
    target_group_of_a_like_name,
    security_group_of_a_like_name,
    security_group_of_our_name_in_another_network,
    rules_in_the_instances_group,
    instance_with_consent,
    instance_without_a_word_of_consent,
    idle_address_with_consent,
    certificate_for_the_domain,
    certificate_that_shares_our_record,
    certificate_in_another_region,
    certificate_in_use,
    records_beside_ours,
    private_zone_of_the_same_name,
    zone_of_a_name_that_ends_alike,
    all_of_ours_in_another_region,
]
# What makes it fail.
IN_THE_WAY: list[Callable[[Site], None]] = [
    load_balancer_of_our_name,
    target_group_of_our_name,
    security_group_of_our_name,
    other_value_in_our_validation_record,
    foreign_record,
    foreign_record_of_ipv6,
    ownership_record_of_others,
    another_public_zone_of_the_same_name,
]


# --- The property ------------------------------------------------------------------------------------------------

VALIDATION = re.compile(r"_[0-9a-f]{32}\.")


def whole(aws: LocalAws) -> Snapshot:
    """Everything in both regions."""
    there = snapshot(aws, ELSEWHERE)
    del there["record"]  # they are of no region
    return snapshot(aws) | {f"{kind} in {ELSEWHERE}": items for kind, items in there.items()}


def run(stack: Stack, machine: str, events: list[dict]) -> list[Execution]:
    """Executions at the same time, ended."""
    started = [stack.start(machine, event) for event in events]
    return [stack.wait(arn) for arn in started]


def react(stack: Stack, provisions: list[Execution], since: int) -> None:
    """Wait until the rule has reacted to each provision that failed, and all that it started has ended."""
    failed = sum(execution.status != "SUCCEEDED" for execution in provisions)
    finder = stack.functions["find-unfinished"]

    def reacted() -> bool:
        made = [each for each in stack.aws.invocations(since) if each["function"] == finder and each["ended"]]
        return len(made) >= failed and not stack.executions("cleanup", "RUNNING")

    until(reacted, "the reactions to what has failed")


def misled(site: Site, provision: Execution, teardown: Execution) -> list[str]:
    """What is wrong with how the executions ended."""
    wrong = []
    if provision.status == "SUCCEEDED" and site.errors:
        wrong.append(f"provision: not one of {site.errors}")
    if provision.status != "SUCCEEDED" and provision.error not in site.errors:
        wrong.append(f"provision: {provision.error}: {provision.cause}")
    if teardown.status != "SUCCEEDED":
        wrong.append(f"teardown: {teardown.error}: {teardown.cause}")
    return wrong


def without_kept(site: Site, before: Snapshot, after: Snapshot) -> Snapshot:
    """The world after, but for what a teardown rightly leaves: our certificate, and the record that validates it.

    The record stays too where another certificate needs it, in whatever region.
    """
    ours = {"albatross:stack": site.stack, "albatross:environment": site.name}.items()
    certificates = after["certificate"]
    kept = {
        arn
        for arn, certificate in certificates.items()
        if site.certificate == "keep" and ours <= pairs(certificate["Tags"]).items()
    }
    needed = kept or any(
        {site.domain, f"*.{site.domain}"} & set(certificate["SubjectAlternativeNames"])
        for kind in ("certificate", f"certificate in {ELSEWHERE}")
        for certificate in before[kind].values()
    )
    validating = {
        key
        for key, record in after["record"].items()
        if needed
        and key not in before["record"]
        and VALIDATION.sub("", record["Name"], count=1).rstrip(".") == site.domain
    }
    return after | {
        "certificate": {arn: item for arn, item in certificates.items() if arn not in kept},
        "record": {key: item for key, item in after["record"].items() if key not in validating},
    }


def pairs(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


@pytest.mark.parametrize("first", range(SEED, SEED + WORLDS, BATCH))
def test_no_foreign_thing_changes(aws: LocalAws, stack: Stack, first: int) -> None:
    aws.reset()
    with World(aws) as place:
        seeds = range(first, min(first + BATCH, SEED + WORLDS))
        sites = [Site(aws, place, stack.name, seed) for seed in seeds]
        before, since = whole(aws), len(aws.invocations())
        provisions = run(stack, "provision", [site.input for site in sites])
        react(stack, provisions, since)
        teardowns = run(stack, "teardown", [site.end for site in sites])
        after = whole(aws)
    wrong = []
    for site, provision, teardown in zip(sites, provisions, teardowns, strict=True):
        wrong += [f"{site}: {line}" for line in misled(site, provision, teardown)]
        after = without_kept(site, before, after)
    wrong += differences(before, after)
    assert not wrong, "\n".join([*map(str, sites), "", *wrong])
