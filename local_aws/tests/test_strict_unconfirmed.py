"""Where no source tells what AWS answers (strict/unconfirmed.py), a seed decides: over some seeds each answer comes."""

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from ..local import LocalAws
from .support import Balancer, Certificate, issued

SEEDS = range(20)

pytestmark = pytest.mark.usefixtures("likeliest_again")


def answer(call: Callable[[], object]) -> str | None:
    """The call's error code; None where it succeeds."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def answers(aws: LocalAws, call: Callable[[], object]) -> tuple[str | None, set[str | None]]:
    """The likeliest answer, and all that there are over the seeds; the same seed answers the same."""
    likeliest = answer(call)
    found = []
    for seed in SEEDS:
        aws.seed = seed
        found.append(answer(call))
        assert answer(call) == found[-1]
    return likeliest, set(found)


def test_an_absent_target_group(aws, network, name):
    balancer = Balancer(aws, network, name)
    balancer.client.delete_target_group(TargetGroupArn=balancer.target_group)

    def delete():
        balancer.client.delete_target_group(TargetGroupArn=balancer.target_group)

    assert answers(aws, delete) == (None, {None, "TargetGroupNotFound"})


def test_an_absent_rule_by_its_id(aws, network, name):
    group = network.group(name)

    def revoke():
        network.ec2.revoke_security_group_ingress(
            GroupId=group, SecurityGroupRuleIds=["sgr-00000000000000000"]
        )

    code = "InvalidSecurityGroupRuleId.NotFound"
    assert answers(aws, revoke) == (code, {code, None})


def test_an_absent_association(aws, network):
    def disassociate():
        network.ec2.disassociate_address(AssociationId="eipassoc-00000000000000000")

    code = "InvalidAssociationID.NotFound"
    assert answers(aws, disassociate) == (code, {code, None})


def test_an_absent_address(aws, network):
    def release():
        network.ec2.release_address(AllocationId="eipalloc-00000000000000000")

    code = "InvalidAllocationID.NotFound"
    assert answers(aws, release) == (code, {code, None})


def test_a_certificate_in_use(aws, zone, network, name):
    certificate = issued(aws, zone)
    Balancer(aws, network, name).https_listener(certificate.arn)

    def delete():
        certificate.client.delete_certificate(CertificateArn=certificate.arn)

    code = "ResourceInUseException"
    assert answers(aws, delete) == (code, {code, "ConflictException"})


def test_a_listener_whose_certificate_is_not_issued(aws, zone, network, name):
    certificate, balancer = Certificate(aws, zone.domain), Balancer(aws, network, name)
    code = "UnsupportedCertificate"
    found = answers(aws, lambda: balancer.https_listener(certificate.arn))
    assert found == (code, {code, "CertificateNotFound"})


def test_each_fact_has_its_own_answer(aws, network, name):
    """No fact follows another: over the seeds all pairs of answers come."""
    pairs = set()
    for seed in SEEDS:
        aws.seed = seed
        pairs.add(
            (
                answer(lambda: network.ec2.disassociate_address(AssociationId="eipassoc-00000000000000000")),
                answer(lambda: network.ec2.release_address(AllocationId="eipalloc-00000000000000000")),
            )
        )
    assert len(pairs) == 4


def test_a_reset_brings_back_the_likeliest(own: LocalAws):
    own.seed = 7
    own.reset()
    assert own.seed == 0
