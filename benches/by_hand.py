"""The job by hand, as one function with boto3 would do it: `python -m benches.by_hand provision` or `teardown`.

It starts what takes time first and waits for it by polling; teardown finds the ids where provision has put them, in the
working folder.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import boto3

NAME, DOMAIN, ZONE, VPC = (os.environ[name] for name in ("NAME", "DOMAIN", "ZONE", "VPC"))
SUBNETS, INSTANCE = os.environ["SUBNETS"].split(), os.environ["INSTANCE"]
INSTANCE_GROUP, POLL = os.environ["INSTANCE_GROUP"], float(os.environ["POLL"])
PATIENCE = 600
IDS = Path("ids.json")

ec2, elb, acm, route53 = (boto3.client(service) for service in ("ec2", "elbv2", "acm", "route53"))


def until(look: Callable[[], object]) -> object:
    """Look again until there is something to see, or so often that it will not come."""
    for _ in range(PATIENCE):
        if seen := look():
            return seen
        time.sleep(POLL)
    raise TimeoutError(look.__name__)


def change(action: str, record: dict) -> str:
    """Change a record; answers the change's id."""
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    return route53.change_resource_record_sets(HostedZoneId=ZONE, ChangeBatch=batch)["ChangeInfo"]["Id"]


def in_sync(change_id: str) -> bool:
    return route53.get_change(Id=change_id)["ChangeInfo"]["Status"] == "INSYNC"


def web(port: int, **source: list[dict]) -> dict:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}


def described(certificate: str) -> dict:
    return acm.describe_certificate(CertificateArn=certificate)["Certificate"]


def provision() -> None:
    """All of it; the alias last."""
    certificate = acm.request_certificate(DomainName=DOMAIN, ValidationMethod="DNS")["CertificateArn"]
    group = ec2.create_security_group(
        GroupName=f"{NAME}-elb", Description=f"The load balancer of {DOMAIN}", VpcId=VPC
    )["GroupId"]
    everybody = [{"CidrIp": "0.0.0.0/0"}]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[web(port, IpRanges=everybody) for port in (80, 443)]
    )
    [balancer] = elb.create_load_balancer(Name=f"{NAME}-elb", Subnets=SUBNETS, SecurityGroups=[group])[
        "LoadBalancers"
    ]
    arn = balancer["LoadBalancerArn"]
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=arn,
        Attributes=[{"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "true"}],
    )
    from_balancer = web(80, UserIdGroupPairs=[{"GroupId": group}])
    ec2.authorize_security_group_ingress(GroupId=INSTANCE_GROUP, IpPermissions=[from_balancer])
    [target_group] = elb.create_target_group(
        Name=f"{NAME}-target-group",
        Protocol="HTTP",
        Port=80,
        VpcId=VPC,
        HealthCheckPath="/health",
        HealthCheckIntervalSeconds=10,
        HealthCheckTimeoutSeconds=5,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=2,
        Matcher={"HttpCode": "200"},
    )["TargetGroups"]
    targets = target_group["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=targets, Targets=[{"Id": INSTANCE, "Port": 80}])
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_302"}
    elb.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "redirect", "RedirectConfig": redirect}],
    )

    def asked() -> dict | None:
        [option] = described(certificate)["DomainValidationOptions"]
        return option.get("ResourceRecord")

    wanted = until(asked)
    validation = {
        "Name": wanted["Name"],
        "Type": wanted["Type"],
        "TTL": 60,
        "ResourceRecords": [{"Value": wanted["Value"]}],
    }
    change("UPSERT", validation)
    until(lambda: described(certificate)["Status"] == "ISSUED")
    [https] = elb.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTPS",
        Port=443,
        Certificates=[{"CertificateArn": certificate}],
        SslPolicy="ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
        DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
    )["Listeners"]
    hsts = {"Key": "routing.http.response.strict_transport_security.header_value", "Value": "max-age=300"}
    elb.modify_listener_attributes(ListenerArn=https["ListenerArn"], Attributes=[hsts])

    def active() -> bool:
        [found] = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
        return found["State"]["Code"] == "active"

    def healthy() -> bool:
        [found] = elb.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
        return found["TargetHealth"]["State"] == "healthy"

    until(active)
    until(healthy)
    records = route53.list_resource_record_sets(
        HostedZoneId=ZONE, StartRecordName=DOMAIN, StartRecordType="A", MaxItems="1"
    )["ResourceRecordSets"]
    previous = [record for record in records if (record["Name"], record["Type"]) == (f"{DOMAIN}.", "A")]
    alias = {
        "HostedZoneId": balancer["CanonicalHostedZoneId"],
        "DNSName": balancer["DNSName"],
        "EvaluateTargetHealth": False,
    }
    pointed = change("UPSERT", {"Name": DOMAIN, "Type": "A", "AliasTarget": alias})
    until(lambda: in_sync(pointed))
    ids = {"group": group, "rule": from_balancer, "balancer": arn, "targets": targets}
    IDS.write_text(
        json.dumps(ids | {"certificate": certificate, "validation": validation, "previous": previous})
    )


def teardown() -> None:
    """All of it, in reverse; what stood at the domain is put back."""
    ids = json.loads(IDS.read_text())
    group, certificate = ids["group"], ids["certificate"]
    for record in ids["previous"]:
        change("UPSERT", record)
    elb.delete_load_balancer(LoadBalancerArn=ids["balancer"])
    elb.delete_target_group(TargetGroupArn=ids["targets"])
    ec2.revoke_security_group_ingress(GroupId=INSTANCE_GROUP, IpPermissions=[ids["rule"]])
    until(lambda: not described(certificate)["InUseBy"])
    acm.delete_certificate(CertificateArn=certificate)
    change("DELETE", ids["validation"])
    its_own = [{"Name": "group-id", "Values": [group]}]
    until(lambda: not ec2.describe_network_interfaces(Filters=its_own)["NetworkInterfaces"])
    ec2.delete_security_group(GroupId=group)


if __name__ == "__main__":
    {"provision": provision, "teardown": teardown}[sys.argv[1]]()
