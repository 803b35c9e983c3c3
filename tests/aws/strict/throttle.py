"""Throttling: token buckets of requests, for each account and region, on AWS's clock. Off until switched on."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from moto.core.responses import BaseResponse

from .clock import clock


@dataclass(frozen=True)
class Limit:
    """A bucket's size and its tokens a second, for the operations of a service that match one of the patterns."""

    service: str
    operations: str
    burst: float
    rate: float
    # One bucket for each operation, or one for them all.
    each: bool = False


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


@dataclass
class Bucket:
    """Full at first."""

    limit: Limit
    tokens: float
    at: float

    def fill(self) -> None:
        """Put in what the time since the last fill is worth; to the micro-token, as clock.age is."""
        now = clock.now()
        self.tokens = min(self.limit.burst, round(self.tokens + (now - self.at) * self.limit.rate, 6))
        self.at = now


_on = False
_buckets: dict[tuple, Bucket] = {}


def switch(on: bool) -> None:
    """Begin with full buckets, or end."""
    global _on
    _on = on
    _buckets.clear()


def refuses(call: BaseResponse, operation: str) -> bool:
    """Whether a bucket of this call is empty; if not, a token is taken from each of them."""
    if not _on:
        return False
    buckets = [_bucket(call, operation, limit) for limit in _limits(call, operation)]
    for bucket in buckets:
        bucket.fill()
    if any(bucket.tokens < 1 for bucket in buckets):
        return True
    for bucket in buckets:
        bucket.tokens -= 1
    return False


def _limits(call: BaseResponse, operation: str) -> list[Limit]:
    """The account's limit and the operation's, where the service has them."""
    service = call.service_name
    name = operation
    if service == "ec2" and not NARROWING & set(call.params):
        name += "/all"

    def matches(limit: Limit) -> bool:
        names = (operation, name)
        return limit.service == service and any(
            fnmatchcase(each, pattern) for pattern in limit.operations.split() for each in names
        )

    own = next((limit for limit in OPERATIONS if matches(limit)), None)
    return [limit for limit in [*ACCOUNT, own] if limit and matches(limit)]


def _bucket(call: BaseResponse, operation: str, limit: Limit) -> Bucket:
    # Route 53 has no regions.
    region = None if call.service_name == "route53" else call.region
    key = (call.current_account, region, limit, operation if limit.each else None)
    return _buckets.setdefault(key, Bucket(limit, limit.burst, clock.now()))
