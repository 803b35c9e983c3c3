"""How often each operation may be called, for each account and region."""

from moto.core.responses import BaseResponse

from ..buckets import Limit, buckets

# Of all a service's operations together. ELB: user guide, "Request throttling for the Elastic Load Balancing API";
# Route 53: developer guide, "Quotas".
ACCOUNT = [Limit("elbv2", "*", 40, 10), Limit("route53", "*", 50, 10)]

# Of an operation the first that matches counts. ELB: as above. ACM: user guide, "Quotas", "API rate quotas". EC2:
# developer guide, "Request throttling for the Amazon EC2 API", whose buckets are each an operation's own.
OPERATIONS = [
    Limit("elbv2", "CreateLoadBalancer SetSubnets", 10, 0.2),
    Limit("elbv2", "RegisterTargets DeregisterTargets", 20, 4),
    Limit("elbv2", "Describe*", 40, 10),
    Limit("elbv2", "*", 20, 3),
    Limit("acm", "RequestCertificate AddTagsToCertificate RemoveTagsFromCertificate", 5, 5, each=True),
    Limit("acm", "ListCertificates", 8, 8),
    Limit("acm", "DescribeCertificate DeleteCertificate", 10, 10, each=True),
    Limit("acm", "GetCertificate ListTagsForCertificate", 10, 10, each=True),
    Limit("ec2", "DescribeInstances/all DescribeNetworkInterfaces/all", 50, 10, each=True),
    Limit("ec2", "DescribeSecurityGroups/all", 50, 10),
    Limit("ec2", "Describe* Get* List* Search*", 100, 20, each=True),
    Limit("ec2", "RunInstances StartInstances", 5, 2, each=True),
    Limit("ec2", "TerminateInstances CreateNetworkInterface DeleteNetworkInterface", 100, 5, each=True),
    Limit("ec2", "CreateTags DeleteTags", 100, 10, each=True),
    Limit("ec2", "*", 50, 5, each=True),
]
# Of EC2, a call with none of these is "unfiltered and unpaginated".
NARROWING = {"Filters", "MaxResults", "NextToken"}


def refuses(call: BaseResponse, operation: str) -> bool:
    """Whether a bucket of this call is empty; if not, a token is taken from each of them."""
    # Route 53 has no regions.
    region = None if call.service_name == "route53" else call.region
    return buckets.refuse(operation, _limits(call, operation), (call.current_account, region))


def _limits(call: BaseResponse, operation: str) -> list[Limit]:
    """The account's limit and the operation's, where the service has them."""
    service = call.service_name
    unfiltered = service == "ec2" and not NARROWING & set(call.params)
    names = (operation, f"{operation}/all") if unfiltered else (operation,)
    own = next((limit for limit in OPERATIONS if limit.is_for(service, *names)), None)
    return [limit for limit in [*ACCOUNT, own] if limit and limit.is_for(service, *names)]
