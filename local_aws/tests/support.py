"""What the tests of the local AWS make for themselves."""

import json

from botocore.exceptions import ClientError

from ..executions import whole_history
from ..local import LocalAws

SETTLED = 3600  # AWS seconds after which nothing takes time any more
ALB_ZONE = "Z35SXDOTRQ7X7K"
ALB_NAME = "x-elb-1234567890.us-east-1.elb.amazonaws.com"


class Network:
    """A VPC of a test's own, with public subnets in two zones."""

    def __init__(self, aws: LocalAws):
        self.ec2 = aws.client("ec2")
        self.vpc: str = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.gateway: str = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.subnets: list[str] = []
        for zone in "ab":
            self.subnet(zone)

    def subnet(self, zone: str, public: bool = True, prefix: int = 24, **options) -> str:
        """One more subnet; a public one has a route to the internet gateway."""
        cidr = f"10.0.{len(self.subnets)}.0/{prefix}"
        made = self.ec2.create_subnet(
            VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=f"us-east-1{zone}", **options
        )
        subnet = made["Subnet"]["SubnetId"]
        self.subnets.append(subnet)
        if public:
            table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
            self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
            self.ec2.create_route(
                RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=self.gateway
            )
        return subnet

    def fill(self, subnet: str, free: int) -> None:
        """Take addresses of a subnet until so many are left."""
        take = self.free(subnet) - free
        self.ec2.create_network_interface(SubnetId=subnet, SecondaryPrivateIpAddressCount=take - 1)

    def free(self, subnet: str) -> int:
        """How many addresses of a subnet nobody has."""
        [found] = self.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
        return found["AvailableIpAddressCount"]

    def group(self, name: str) -> str:
        """A security group."""
        made = self.ec2.create_security_group(GroupName=name, Description="of a test", VpcId=self.vpc)
        return made["GroupId"]

    def instance(self, group: str, subnet: str | None = None, tags: dict | None = None, **options) -> str:
        """A running instance; `options` are other parameters of RunInstances."""
        [made] = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet or self.subnets[0],
            SecurityGroupIds=[group],
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
            ]
            if tags
            else [],
            **options,
        )["Instances"]
        return made["InstanceId"]

    def describe(self, instance: str) -> dict:
        [found] = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        return found["Instances"][0]


class Balancer:
    """A load balancer of a test's own with its security group, and an empty target group."""

    def __init__(self, aws: LocalAws, network: Network, name: str, **options):
        self.client = aws.client("elbv2")
        self.group = options.pop("group", None) or network.group(f"{name}-elb")
        self.settings = {
            "Name": f"{name}-elb",
            "Subnets": network.subnets,
            "SecurityGroups": [self.group],
            **options,
        }
        self.arn: str = self.create()["LoadBalancerArn"]
        self.target_settings = {
            "Name": f"{name}-target-group",
            "Protocol": "HTTP",
            "Port": 80,
            "VpcId": network.vpc,
            "HealthCheckPath": "/health",
        }
        self.target_group: str = self.create_target_group()

    def create(self, **changes) -> dict:
        """CreateLoadBalancer, again or with other settings."""
        return self.client.create_load_balancer(**self.settings | changes)["LoadBalancers"][0]

    def create_target_group(self, **changes) -> str:
        """CreateTargetGroup, again or with other settings."""
        return self.client.create_target_group(**self.target_settings | changes)["TargetGroups"][0][
            "TargetGroupArn"
        ]

    def describe(self) -> dict:
        [found] = self.client.describe_load_balancers(LoadBalancerArns=[self.arn])["LoadBalancers"]
        return found

    def listener(self, port: int = 80, protocol: str = "HTTP", **options) -> str:
        """A listener that forwards to the target group."""
        actions = [{"Type": "forward", "TargetGroupArn": self.target_group}]
        options = {"DefaultActions": actions} | options
        made = self.client.create_listener(LoadBalancerArn=self.arn, Port=port, Protocol=protocol, **options)
        return made["Listeners"][0]["ListenerArn"]

    def https_listener(self, certificate: str, **options) -> str:
        """A listener with a certificate."""
        return self.listener(443, "HTTPS", Certificates=[{"CertificateArn": certificate}], **options)

    def delete(self) -> None:
        self.client.delete_load_balancer(LoadBalancerArn=self.arn)


class Zone:
    """A hosted zone of a test's own."""

    def __init__(self, aws: LocalAws, domain: str, reference: str = ""):
        self.client, self.domain = aws.client("route53"), domain
        made = self.client.create_hosted_zone(Name=domain, CallerReference=f"{domain} {reference}")
        self.id = made["HostedZone"]["Id"].removeprefix("/hostedzone/")

    @property
    def name_servers(self) -> list[str]:
        """Those that Route 53 gave it."""
        return self.client.get_hosted_zone(Id=self.id)["DelegationSet"]["NameServers"]

    def delegate(self, below: "Zone") -> None:
        """Let whoever asks for a zone below this one ask its own name servers."""
        self.change(("UPSERT", record(below.domain, "NS", *below.name_servers)))

    def change(self, *changes: tuple[str, dict]) -> dict:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
        answer = self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch=batch)
        return answer["ChangeInfo"]

    def records(self) -> dict[tuple[str, str], dict]:
        found = self.client.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        return {(r["Name"], r["Type"]): r for r in found if r["Type"] not in ("NS", "SOA")}


def record(name: str, kind: str, *values: str, ttl: int = 300) -> dict:
    return {"Name": name, "Type": kind, "TTL": ttl, "ResourceRecords": [{"Value": value} for value in values]}


def alias(name: str, zone_id: str = ALB_ZONE, target: str = ALB_NAME, kind: str = "A") -> dict:
    target = {"HostedZoneId": zone_id, "DNSName": target, "EvaluateTargetHealth": False}
    return {"Name": name, "Type": kind, "AliasTarget": target}


class Certificate:
    """A certificate that a test has requested."""

    def __init__(self, aws: LocalAws, domain: str, region: str = "us-east-1", **options):
        self.client, self.domain = aws.client("acm", region), domain
        made = self.client.request_certificate(DomainName=domain, ValidationMethod="DNS", **options)
        self.arn = made["CertificateArn"]

    def describe(self) -> dict:
        return self.client.describe_certificate(CertificateArn=self.arn)["Certificate"]

    def option(self) -> dict:
        return self.describe()["DomainValidationOptions"][0]

    def validate(self, zone: Zone) -> None:
        """Write the CNAMEs that it asks for."""
        for option in self.describe()["DomainValidationOptions"]:
            wanted = option["ResourceRecord"]
            zone.change(("UPSERT", record(wanted["Name"], wanted["Type"], wanted["Value"])))


def issued(aws: LocalAws, zone: Zone, domain: str | None = None) -> Certificate:
    """A certificate of the zone's own name, or of one in it, by the way of DNS."""
    certificate = Certificate(aws, domain or zone.domain)
    aws.advance(SETTLED)
    certificate.validate(zone)
    aws.advance(SETTLED)
    assert certificate.describe()["Status"] == "ISSUED"
    return certificate


class refused:
    """`with refused("Code"):` the call in the block fails with this error code, and with these words in it."""

    def __init__(self, code: str, words: str = ""):
        self.code, self.words = code, words

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> bool:
        assert isinstance(error, ClientError), f"expected {self.code}, got {error!r}"
        assert error.response["Error"]["Code"] == self.code
        assert self.words in error.response["Error"]["Message"]
        return True


class Machine:
    """A state machine of a test's own, in JSONata, whose tasks need no functions."""

    def __init__(self, aws: LocalAws, name: str, states: dict):
        self.client = aws.client("stepfunctions")
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        made = self.client.create_state_machine(
            name=name, definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/any"
        )
        self.arn: str = made["stateMachineArn"]

    def start(self, event: dict | None = None) -> str:
        """Start an execution; answers its ARN."""
        started = self.client.start_execution(stateMachineArn=self.arn, input=json.dumps(event or {}))
        return started["executionArn"]

    def history(self, execution: str, **parameters) -> list[dict]:
        """An execution's whole history."""
        return whole_history(self.client, execution, **parameters)
