"""What the record of calls says that IAM checks, after the Service Authorization Reference."""

import pytest
from botocore.exceptions import ClientError

from ..endpoints import ACCOUNT
from ..local import LocalAws
from .support import Network

HERE = f"us-east-1:{ACCOUNT}"
TAGS = [{"Key": "team", "Value": "blue"}]
GIVEN = {"aws:RequestTag/team": "blue", "aws:TagKeys": ["team"]}
TAGGED = {"aws:ResourceTag/team": "blue"}


def last(calls: list[dict]) -> list[tuple[str, str, dict]]:
    """The last call's checks: action, resource and context."""
    return [(check["action"], check["resource"], check["context"]) for check in calls[-1]["checks"]]


def test_a_call_of_no_function_is_not_checked(aws: LocalAws) -> None:
    aws.client("ec2").describe_vpcs()
    assert last(aws.calls()) == []


def test_what_ec2_makes_and_tags(aws: LocalAws, name: str) -> None:
    """EC2 user guide, tag on creation: CreateTags is asked too, with ec2:CreateAction."""
    ec2, network = aws.client("ec2", app="test"), Network(aws)
    group = ec2.create_security_group(
        GroupName=name,
        Description="of a test",
        VpcId=network.vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": TAGS}],
    )["GroupId"]
    new = f"arn:aws:ec2:{HERE}:security-group/new"
    assert last(aws.calls()) == [
        ("ec2:CreateSecurityGroup", f"arn:aws:ec2:{HERE}:vpc/{network.vpc}", {}),
        ("ec2:CreateSecurityGroup", new, GIVEN),
        ("ec2:CreateTags", new, GIVEN | {"ec2:CreateAction": "CreateSecurityGroup"}),
    ]
    # Of untagged rules the group alone is checked.
    rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    standing = f"arn:aws:ec2:{HERE}:security-group/{group}"
    assert last(aws.calls()) == [("ec2:AuthorizeSecurityGroupIngress", standing, TAGGED)]


def test_tags_are_those_before_the_call(aws: LocalAws) -> None:
    """An association is checked on the address and on the interface."""
    ec2, network = aws.client("ec2", app="test"), Network(aws)
    instance = network.instance(network.group("any"))
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    address = f"arn:aws:ec2:{HERE}:elastic-ip/{allocation}"
    association = ec2.associate_address(AllocationId=allocation, InstanceId=instance)["AssociationId"]
    ec2.create_tags(Resources=[allocation], Tags=TAGS)
    assert last(aws.calls()) == [("ec2:CreateTags", address, GIVEN)]
    ec2.disassociate_address(AssociationId=association)
    [of_address, (action, interface, tags)] = last(aws.calls())
    assert of_address == ("ec2:DisassociateAddress", address, TAGGED)
    assert (action, tags) == ("ec2:DisassociateAddress", {})
    assert interface.startswith(f"arn:aws:ec2:{HERE}:network-interface/eni-")


def test_a_listener_is_checked_on_its_load_balancer(aws: LocalAws, name: str) -> None:
    elb, network = aws.client("elbv2", app="test"), Network(aws)
    made = elb.create_load_balancer(Name=name, Subnets=network.subnets, Tags=TAGS)
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}
    elb.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=[answer], Tags=TAGS)
    listener = arn.replace(":loadbalancer/", ":listener/") + "/new"
    created = {"elasticloadbalancing:CreateAction": "CreateListener"}
    assert last(aws.calls()) == [
        ("elasticloadbalancing:CreateListener", arn, TAGGED | GIVEN),
        ("elasticloadbalancing:AddTags", listener, GIVEN | created),
    ]


def test_a_certificates_request_has_no_resource(aws: LocalAws) -> None:
    acm = aws.client("acm", app="test")
    acm.request_certificate(DomainName="a.test", ValidationMethod="DNS", Tags=TAGS)
    keys = {"acm:ValidationMethod": "DNS", "acm:DomainNames": ["a.test"]}
    assert last(aws.calls()) == [
        ("acm:RequestCertificate", "*", GIVEN | keys),
        ("acm:AddTagsToCertificate", f"arn:aws:acm:{HERE}:certificate/new", GIVEN),
    ]


def test_a_change_of_records_names_them(aws: LocalAws) -> None:
    route53 = aws.client("route53", app="test")
    zone = route53.create_hosted_zone(Name="a.test", CallerReference="any")["HostedZone"]["Id"]
    record = {"Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"any"'}]}
    # Developer guide, "Using IAM policy conditions": lower case, no last dot, other characters in octal.
    changes = [
        {"Action": "CREATE", "ResourceRecordSet": {"Name": name} | record}
        for name in ("_X.A.test.", "*.a.test")
    ]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    prefix = "route53:ChangeResourceRecordSets"
    assert last(aws.calls()) == [
        (
            prefix,
            f"arn:aws:route53:::{zone.removeprefix('/')}",
            {
                f"{prefix}Actions": ["CREATE"],
                f"{prefix}RecordTypes": ["TXT"],
                f"{prefix}NormalizedRecordNames": [r"\052.a.test", "_x.a.test"],
            },
        )
    ]


def test_a_call_of_step_functions_is_checked_on_what_it_names(aws: LocalAws) -> None:
    arn = f"arn:aws:states:{HERE}:execution:none:none"
    with pytest.raises(ClientError):
        aws.client("stepfunctions", app="test").describe_execution(executionArn=arn)
    assert last(aws.execution_calls()) == [("states:DescribeExecution", arn, {})]
