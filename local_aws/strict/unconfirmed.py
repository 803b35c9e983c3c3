"""What no source tells of AWS: the answers that it may give, of which the seed chooses one for each fact."""

import hashlib

from .settings import settings

DELETE_TARGET_GROUP_ABSENT = "DeleteTargetGroup of an absent one"
REVOKE_ABSENT = "RevokeSecurityGroupIngress of an absent rule id"
DISASSOCIATE_ABSENT = "DisassociateAddress of an absent association"
RELEASE_ABSENT = "ReleaseAddress of an absent address"
DELETE_CERTIFICATE_IN_USE = "DeleteCertificate of one in use"
LISTENER_CERTIFICATE_PENDING = "CreateListener with a certificate that is not issued"
MIXED_ZONES = "Subnets of zones that do not go together"
SMALL_SUBNET = "Subnets smaller than /27"
NEW_TAGS = "A call that is allowed by the tags of what was made a moment ago"
STOP_BESIDE_PROTECTED = "StopInstances of several, of which one is protected: what is stopped"

# Error codes, or what the fact asks for, the likeliest first; None: it succeeds.
ANSWERS: dict[str, tuple[str | None, ...]] = {
    # The API reference has no such error among the operation's; other tools expect one.
    DELETE_TARGET_GROUP_ABSENT: (None, "TargetGroupNotFound"),
    # The EC2 API reference tells it of rules that are given by their values alone.
    REVOKE_ABSENT: ("InvalidSecurityGroupRuleId.NotFound", None),
    # "This is an idempotent operation. If you perform the operation more than once, Amazon EC2 doesn't return an
    # error" (EC2 API reference, DisassociateAddress); InvalidAssociationID.NotFound has been seen.
    DISASSOCIATE_ABSENT: ("InvalidAssociationID.NotFound", None),
    RELEASE_ABSENT: ("InvalidAllocationID.NotFound", None),
    # The API reference lists both.
    DELETE_CERTIFICATE_IN_USE: ("ResourceInUseException", "ConflictException"),
    LISTENER_CERTIFICATE_PENDING: ("UnsupportedCertificate", "CertificateNotFound"),
    # The API reference lists both.
    MIXED_ZONES: ("InvalidConfigurationRequest", "InvalidSubnet"),
    # The user guide asks for /27; load balancers have been made in /28 while 8 addresses were free there.
    SMALL_SUBNET: (None, "InvalidSubnet"),
    # kops#15990 and aws-load-balancer-controller#1464 saw it denied, of tags that may have come after the creation.
    NEW_TAGS: (None, "AccessDenied"),
    # TerminateInstances, in the API reference, has the second; StopInstances has none.
    STOP_BESIDE_PROTECTED: ("none", "of other zones"),
}


def answer(fact: str) -> str | None:
    """The likeliest while the seed is 0; else one that depends on the seed and the fact alone."""
    answers = ANSWERS[fact]
    if not settings.seed:
        return answers[0]
    digest = hashlib.sha256(f"{settings.seed} {fact}".encode()).digest()
    return answers[digest[0] % len(answers)]
