"""What IAM checks before a call is carried out: action, resource and condition keys.

After the Service Authorization Reference. Of something that the call will make the id is not known yet: it is `new`.
Tags in the request of what makes something are checked as an action of their own (EC2 user guide and ELB user guide,
permissions to tag resources during creation; ACM, RequestCertificate).
"""

import json

from moto.acm.responses import AWSCertificateManagerResponse
from moto.core.responses import BaseResponse
from moto.ec2.responses import EC2Response
from moto.elbv2.responses import ELBV2Response

from ..endpoints import ACCOUNT
from .route53 import normal

PREFIXES = {"elbv2": "elasticloadbalancing"}
TAGGING = {"elbv2": "AddTags", "ec2": "CreateTags", "acm": "AddTagsToCertificate"}
# Lists and descriptions of these have no resource level, but for some.
NO_RESOURCE_LEVEL = {"ec2", "elbv2"}
READS_OF_ONE = {"DescribeInstanceAttribute"}
EC2_TYPES = {
    "sg": "security-group",
    "vpc": "vpc",
    "i": "instance",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
}
# The parameters that say what a call is about. A VPC is a resource of EC2's calls alone.
NAMED = {
    "elbv2": ("LoadBalancerArn", "TargetGroupArn", "ListenerArn", "ResourceArns"),
    "ec2": ("GroupId", "VpcId", "InstanceId", "InstanceIds", "AllocationId", "Resources"),
    "acm": ("CertificateArn",),
    "route53": ("HostedZoneId",),
}
RECORDS = "route53:ChangeResourceRecordSets"


def checks(call: BaseResponse, operation: str, changes: bool) -> list[dict]:
    """All that must be allowed for a call to be: each an action, a resource and the context that conditions see."""
    service = call.service_name
    action = f"{PREFIXES.get(service, service)}:{operation}"
    parameters = call.params if call.automated_parameter_parsing else json.loads(call.body or "{}")
    if service in NO_RESOURCE_LEVEL and not changes and operation not in READS_OF_ONE:
        return [_check(action, "*")]
    given = _request_tags(parameters)
    made = _made(call, operation, parameters, given)
    of_request = _tag_keys(given) | _other_keys(operation, parameters)
    # EC2 knows the request's tags only with what they are for: what is made, or else what is there to be tagged.
    on_standing = {} if service == "ec2" and made else of_request
    found = [_check(action, arn, tags | on_standing) for arn, tags in _standing(call, parameters)]
    if not made:
        return found or [_check(action, "*", of_request)]
    if operation == "RequestCertificate":
        found = [_check(action, "*", of_request)]
    elif operation != "CreateListener":  # that is checked on its load balancer
        found.append(_check(action, made, of_request))
    if given:
        tagging = f"{PREFIXES.get(service, service)}:{TAGGING[service]}"
        found.append(_check(tagging, made, _tag_keys(given) | _create_action(service, operation)))
    return found


def _check(action: str, resource: str, context: dict | None = None) -> dict:
    return {"action": action, "resource": resource, "context": context or {}}


def _create_action(service: str, operation: str) -> dict:
    """ACM has no such key."""
    return {} if service == "acm" else {f"{PREFIXES.get(service, service)}:CreateAction": operation}


def _request_tags(parameters: dict) -> dict[str, str]:
    specified = [tag for each in parameters.get("TagSpecifications") or [] for tag in each.get("Tags") or []]
    return _pairs(specified or parameters.get("Tags") or [])


def _pairs(tags: list[dict]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value") or "" for tag in tags}


def _tag_keys(given: dict[str, str]) -> dict:
    keys = {f"aws:RequestTag/{key}": value for key, value in given.items()}
    return keys | ({"aws:TagKeys": list(given)} if given else {})


def _other_keys(operation: str, parameters: dict) -> dict:
    """The condition keys of a service's own."""
    if operation == "RequestCertificate":
        names = [parameters["DomainName"], *parameters.get("SubjectAlternativeNames", [])]
        method = parameters.get("ValidationMethod", "EMAIL")
        return {"acm:ValidationMethod": method, "acm:DomainNames": names}
    if operation == "ChangeResourceRecordSets":
        changes = parameters["ChangeBatch"]["Changes"]
        records = [change["ResourceRecordSet"] for change in changes]
        return {
            f"{RECORDS}Actions": sorted({change["Action"] for change in changes}),
            f"{RECORDS}RecordTypes": sorted({record["Type"] for record in records}),
            f"{RECORDS}NormalizedRecordNames": sorted({normal(record["Name"])[:-1] for record in records}),
        }
    return {}


def _made(call: BaseResponse, operation: str, parameters: dict, given: dict) -> str | None:
    """The ARN of what a call will make."""
    region = f"{call.region}:{ACCOUNT}"
    match operation:
        case "CreateLoadBalancer":
            return f"arn:aws:elasticloadbalancing:{region}:loadbalancer/app/{parameters['Name']}/new"
        case "CreateTargetGroup":
            return f"arn:aws:elasticloadbalancing:{region}:targetgroup/{parameters['Name']}/new"
        case "CreateListener":
            return parameters["LoadBalancerArn"].replace(":loadbalancer/", ":listener/") + "/new"
        case "CreateSecurityGroup":
            return f"arn:aws:ec2:{region}:security-group/new"
        case "AuthorizeSecurityGroupIngress" if given:  # of untagged rules only the group is checked
            return f"arn:aws:ec2:{region}:security-group-rule/new"
        case "RequestCertificate":
            return f"arn:aws:acm:{region}:certificate/new"
    return None


def _standing(call: BaseResponse, parameters: dict) -> list[tuple[str, dict]]:
    """The ARNs of what the call is about, each with its tags as they are before the call."""
    ids: list[str] = []
    for parameter in NAMED[call.service_name]:
        value = parameters.get(parameter) or []
        ids += value if isinstance(value, list) else [value]
    match call:
        case ELBV2Response():
            tagged = call.elbv2_backend.tagging_service.get_tag_dict_for_resource
        case AWSCertificateManagerResponse():
            certificates = call.acm_backend._certificates

            def tagged(arn: str) -> dict:
                return dict(certificates[arn].tags) if arn in certificates else {}
        case EC2Response():
            ids += _of_association(call, parameters)
            tagged = call.ec2_backend.tags.get
        case _:
            return [(f"arn:aws:route53:::hostedzone/{zone.rpartition('/')[2]}", {}) for zone in ids]
    return [
        (_arn(call, name), {f"aws:ResourceTag/{key}": value for key, value in (tagged(name) or {}).items()})
        for name in ids
    ]


def _of_association(call: EC2Response, parameters: dict) -> list[str]:
    """An association is the address's and the interface's."""
    wanted = parameters.get("AssociationId")
    return [
        name
        for address in call.ec2_backend.addresses
        if wanted and address.association_id == wanted
        for name in (address.allocation_id, address.eni.id)
    ]


def _arn(call: BaseResponse, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:ec2:{call.region}:{ACCOUNT}:{EC2_TYPES[name.split('-')[0]]}/{name}"
