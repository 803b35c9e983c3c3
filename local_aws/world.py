"""A small world of a user's own things on the local AWS."""

import threading
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .endpoints import ACCOUNT, REGION
from .local import LocalAws

IMAGE = "ami-0c55b159cbfafe1f0"
ZONES = ("us-east-1a", "us-east-1b")
OUTPOST = f"arn:aws:outposts:{REGION}:{ACCOUNT}:outpost/op-0123456789abcdef0"
# Of the user's own records: by it one that is put back is told from one made anew.
TTL = 300


class Backend:
    """The service on an instance: a real HTTP server on a free loopback port, whose health path answers.

    What it does may be changed at any time: the `status` of the health path; where it redirects to HTTPS, "always" or only
    what X-Forwarded-Proto says has come by "http"; which Host it insists on, so that any other gets 400.
    """

    def __init__(self, path: str = "/health"):
        self.status = 200
        self.redirect: str | None = None
        self.host: str | None = None
        # The path and the headers of each request, oldest first.
        self.requests: list[tuple[str, dict[str, str]]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                backend.requests.append((self.path, dict(self.headers)))
                body = b"An answer of the instance.\n"
                self.send_response(self._status())
                if backend._redirects(self.headers):
                    self.send_header("Location", f"https://{self.headers['Host']}{self.path}")
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _status(self) -> int:
                if backend.host is not None and self.headers["Host"] != backend.host:
                    return 400
                if backend._redirects(self.headers):
                    return 301
                return backend.status if self.path == path else 404

            def log_message(self, *_: object) -> None:
                """Say nothing: the tests' and the demo's output is theirs."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _redirects(self, headers: Mapping[str, str]) -> bool:
        return self.redirect == "always" or (
            self.redirect is not None and self.redirect == headers.get("X-Forwarded-Proto")
        )

    def close(self) -> None:
        """Stop serving and free the port; again is harmless."""
        self._server.shutdown()
        self._server.server_close()


def tags_of(**values: str) -> list[dict[str, str]]:
    """Tags as EC2 takes them."""
    return [{"Key": key, "Value": value} for key, value in values.items()]


class World:
    """A VPC with two public subnets, instances that serve, an Elastic IP, a hosted zone with an A record at it.

    An ephemeral one has an automatic public IP in place of the Elastic IP: `allocation` is None, and `public_ip` the
    first instance's address when it was launched. Names are unique, so many worlds can stand on one local AWS. A context
    manager: it stops the backends; what stands on the local AWS stays.
    """

    def __init__(
        self,
        aws: LocalAws,
        domain: str | None = None,
        instances: int = 1,
        health_path: str = "/health",
        ephemeral: bool = False,
    ):
        self.aws = aws
        self.domain = domain or f"api.w{uuid.uuid4().hex[:7]}.test"
        self._health_path = health_path
        self._backends: list[Backend] = []
        self.backend = self.new_backend()
        self._ec2 = aws.client("ec2")
        self._route53 = aws.client("route53")
        self.vpc, self._table = self._network()
        self.subnets = [self.public_subnet(number, zone) for number, zone in enumerate(ZONES)]
        if ephemeral:
            self._give_public_addresses()
        self.group = self.security_group("web")
        self.instances = [self.instance(self.subnets[n % 2], self.group) for n in range(instances)]
        self.allocation = None if ephemeral else self._elastic_ip(self.instances[0])
        self.public_ip = self.address_of(self.instances[0])
        labels = self.domain.split(".")
        self.zone_name = ".".join(labels[1:] if len(labels) > 2 else labels)
        self.zone = self.hosted_zone(self.zone_name)
        self.put_record({"Type": "A", "TTL": TTL, "ResourceRecords": [{"Value": self.public_ip}]})

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        for backend in self._backends:
            backend.close()

    def _network(self) -> tuple[str, str]:
        """The ids of a VPC and of its route table that leads to the internet."""
        vpc = self._ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        gateway = self._ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self._ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
        table = self._ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        self._ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        return vpc, table

    def public_subnet(self, number: int, zone: str, prefix: int = 20, **options: object) -> str:
        """A subnet with a route to the internet, and room for thousands of addresses; numbers are 0 to 14."""
        subnet = self.subnet(self.vpc, f"10.0.{16 * (number + 1)}.0/{prefix}", zone, **options)
        self._ec2.associate_route_table(RouteTableId=self._table, SubnetId=subnet)
        return subnet

    def subnet(self, vpc: str, cidr: str, zone: str, **options: object) -> str:
        """A subnet without a route to the internet; `options` are other parameters of CreateSubnet."""
        created = self._ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone, **options)
        return created["Subnet"]["SubnetId"]

    def small_subnet(self, number: int, zone: str, free: int = 8, prefix: int = 27) -> str:
        """A public subnet in which just so many addresses are free."""
        subnet = self.public_subnet(number, zone, prefix)
        take = self.free_addresses(subnet) - free
        self._ec2.create_network_interface(SubnetId=subnet, SecondaryPrivateIpAddressCount=take - 1)
        return subnet

    def free_addresses(self, subnet: str) -> int:
        """How many addresses of a subnet nobody has."""
        [found] = self._ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
        return found["AvailableIpAddressCount"]

    def local_zone_subnet(self, number: int) -> str:
        """A public subnet in a Local Zone, to which the account has opted in."""
        self._ec2.modify_availability_zone_group(GroupName="us-east-1-bos-1", OptInStatus="opted-in")
        return self.public_subnet(number, "us-east-1-bos-1a")

    def outpost_subnet(self, number: int, zone: str) -> str:
        """A public subnet on an Outpost."""
        return self.public_subnet(number, zone, OutpostArn=OUTPOST)

    def block_public_access(self, mode: str, but: tuple[str, ...] = ()) -> None:
        """VPC Block Public Access for the whole region, but for these subnets."""
        self._ec2.modify_vpc_block_public_access_options(InternetGatewayBlockMode=mode)
        for subnet in but:
            self._ec2.create_vpc_block_public_access_exclusion(
                SubnetId=subnet, InternetGatewayExclusionMode="allow-bidirectional"
            )

    def security_group(self, name: str, vpc: str | None = None) -> str:
        """A security group of the user's own; nothing may come in."""
        name = f"{name}-{self.domain}"
        created = self._ec2.create_security_group(
            GroupName=name, Description=f"{name}, made by its user", VpcId=vpc or self.vpc
        )
        return created["GroupId"]

    def new_backend(self) -> Backend:
        """A service of its own for another instance; the world stops it."""
        self._backends.append(Backend(self._health_path))
        return self._backends[-1]

    def instance(
        self, subnet: str, group: str, backend: Backend | None = None, port: int | None = None
    ) -> str:
        """A running instance whose service is a backend, by default the world's, on one port or on any."""
        address = (backend or self.backend).address
        where = f"{port}={address}" if port else address
        tags = [*tags_of(Name=f"web-{self.domain}"), {"Key": "local:backend", "Value": where}]
        launched = self._ec2.run_instances(
            ImageId=IMAGE,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            SecurityGroupIds=[group],
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        return launched["Instances"][0]["InstanceId"]

    def _give_public_addresses(self) -> None:
        """Whatever is launched in the subnets from now on gets an automatic public IP."""
        for subnet in self.subnets:
            self._ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})

    def _elastic_ip(self, instance: str) -> str:
        """The allocation of a new Elastic IP at the instance."""
        allocation = self._ec2.allocate_address(Domain="vpc")["AllocationId"]
        self._ec2.associate_address(AllocationId=allocation, InstanceId=instance)
        return allocation

    def address_of(self, instance: str) -> str | None:
        """The instance's public IP as it is now; a stopped one has no automatic one."""
        [found] = self._ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        return found["Instances"][0].get("PublicIpAddress")

    def protect(self, instance: str, attribute: str, on: bool = True) -> None:
        """Switch `DisableApiTermination` or `DisableApiStop` on or off, as by hand in the console."""
        self._ec2.modify_instance_attribute(InstanceId=instance, **{attribute: {"Value": on}})

    def restart(self, instance: str) -> None:
        """Stop and start the instance, as another scheduler does: an automatic public IP is another one then."""
        self._ec2.stop_instances(InstanceIds=[instance])
        self._ec2.start_instances(InstanceIds=[instance])

    def hosted_zone(self, name: str, **settings: object) -> str:
        """The id of a new hosted zone."""
        created = self._route53.create_hosted_zone(Name=name, CallerReference=str(uuid.uuid4()), **settings)
        return created["HostedZone"]["Id"].removeprefix("/hostedzone/")

    def put_record(self, record: dict, action: str = "UPSERT", name: str | None = None) -> None:
        """Write a record as its user would: by default at the domain."""
        change = {"Action": action, "ResourceRecordSet": {"Name": name or self.domain} | record}
        self._route53.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch={"Changes": [change]})

    def serve_by_wildcard(self) -> None:
        """Let `*.<zone>` alone lead to the first instance: the domain has no record of its own any more."""
        own = {"Type": "A", "TTL": TTL, "ResourceRecords": [{"Value": self.public_ip}]}
        self.put_record(own, name=f"*.{self.zone_name}")
        self.put_record(own, "DELETE")

    def delegate_away(self, *name_servers: str, name: str | None = None) -> None:
        """Write NS records below the zone's apex, by default at the domain: from there on others are asked."""
        values = [{"Value": server} for server in name_servers]
        self.put_record({"Type": "NS", "TTL": TTL, "ResourceRecords": values}, name=name)

    def create_records(self, records: list[dict]) -> None:
        """Write many records at once; none of them may be there."""
        changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]
        self._route53.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch={"Changes": changes})

    def records(self, name: str | None = None) -> list[dict]:
        """The zone's records, or those of one name."""
        pages = self._route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=self.zone)
        records = [record for page in pages for record in page["ResourceRecordSets"]]
        # An asterisk comes in octal.
        names = [record["Name"].rstrip(".").replace("\\052", "*") for record in records]
        return [record for record, found in zip(records, names, strict=True) if name in (None, found)]

    def join_auto_scaling_group(self, instance: str, name: str) -> None:
        """Attach the instance to a new Auto Scaling group, which replaces it once it is terminated."""
        scaling = self.aws.client("autoscaling")
        scaling.create_launch_configuration(
            LaunchConfigurationName=name, ImageId=IMAGE, InstanceType="t3.micro"
        )
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName=name,
            MinSize=0,
            MaxSize=1,
            VPCZoneIdentifier=",".join(self.subnets),
        )
        scaling.attach_instances(AutoScalingGroupName=name, InstanceIds=[instance])

    def tag(self, resource: str, key: str, value: str) -> None:
        """Tag one of the user's own things, as by hand in the console."""
        self._ec2.create_tags(Resources=[resource], Tags=[{"Key": key, "Value": value}])
