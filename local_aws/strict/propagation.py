"""Tags of what was made a moment ago may not be known to IAM yet, so what is allowed by them is denied at first.

Seen for minutes on load balancers that kops had just made (kubernetes/kops#15990) and on target groups of the AWS Load
Balancer Controller (kubernetes-sigs/aws-load-balancer-controller#1464). Whether tags that are given at creation are
known at once is in no source: the setting `tags_lag` decides, and without it the seed.
"""

import math
import re
from dataclasses import dataclass

from ..clock import clock
from . import unconfirmed
from .delays import TAGS_KNOWN
from .settings import settings

# How often the first calls about a resource are denied at infinite speed, where there is no time to wait for.
DENIED_AT_INFINITE_SPEED = 2
# Where the answer to a call has the id or ARN of what it has made.
MADE = {
    "CreateLoadBalancer": re.compile(r"<LoadBalancerArn>([^<]+)<"),
    "CreateTargetGroup": re.compile(r"<TargetGroupArn>([^<]+)<"),
    "CreateListener": re.compile(r"<ListenerArn>([^<]+)<"),
    "CreateSecurityGroup": re.compile(r"<groupId>([^<]+)<"),
    "RequestCertificate": re.compile(r'"CertificateArn": *"([^"]+)"'),
}


@dataclass
class New:
    """What a function has made with tags, when, and how many calls about it were denied for that."""

    since: float
    denied: int = 0

    def is_known(self) -> bool:
        """Whether its tags are known to IAM by now."""
        if math.isinf(clock.speed):
            return self.denied >= DENIED_AT_INFINITE_SPEED
        return clock.age(self.since) >= TAGS_KNOWN


_new: dict[str, New] = {}


def clear() -> None:
    """Forget what was made."""
    _new.clear()


def note(call: dict, body: str) -> None:
    """Remember what a function's call, which has succeeded, has made with tags."""
    pattern = MADE.get(call["operation"])
    tagged = any("aws:TagKeys" in check["context"] for check in call["checks"])
    if pattern and tagged and (found := pattern.search(body)):
        _new.setdefault(found[1].rpartition("/")[2], New(clock.now()))


def denies(call: dict) -> bool:
    """Whether a changing call is denied, as it is about something whose tags are not known yet.

    A read needs no tags: no role of a careful user has a condition on them there.
    """
    if not call["changes"] or not _lags():
        return False
    # A listener's ARN begins with its load balancer's, and ends with an id of its own.
    ids = [check["resource"].rpartition("/")[2] for check in call["checks"] if _is_tagged(check)]
    unknown = [_new[name] for name in ids if name in _new and not _new[name].is_known()]
    for each in unknown:
        each.denied += 1
    return bool(unknown)


def _lags() -> bool:
    if settings.tags_lag is not None:
        return settings.tags_lag
    return unconfirmed.answer(unconfirmed.NEW_TAGS) is not None


def _is_tagged(check: dict) -> bool:
    return any(key.startswith("aws:ResourceTag/") for key in check["context"])
