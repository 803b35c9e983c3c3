"""ACM as its API reference and user guide have it: validation records, issuing, use, lists, tokens, limits.

DNS validation, CAA records and the times of issuing: user guide, "DNS validation" and "Troubleshooting". Use, lists and
tokens: API reference, DeleteCertificate, ListCertificates, RequestCertificate.
"""

import pytest

from .support import SETTLED, Balancer, Certificate, Zone, issued, record, refused


def test_records_are_absent_at_first(aws, zone):
    certificate = Certificate(aws, zone.domain)
    assert "ResourceRecord" not in certificate.option()
    aws.advance(5)
    assert certificate.option()["ResourceRecord"]["Name"].endswith(f".{zone.domain}.")


def test_the_record_is_the_domains_own_in_every_region(aws, zone):
    certificates = [
        Certificate(aws, zone.domain, region) for region in ("us-east-1", "us-east-1", "eu-west-1")
    ]
    wildcard = Certificate(aws, f"*.{zone.domain}")
    other = Certificate(aws, f"other.{zone.domain}")
    aws.advance(5)
    assert len({str(each.option()["ResourceRecord"]) for each in [*certificates, wildcard]}) == 1
    assert other.option()["ResourceRecord"] != wildcard.option()["ResourceRecord"]


def test_pending_for_as_long_as_the_cname_is_missing(aws, zone):
    certificate = Certificate(aws, zone.domain)
    aws.advance(SETTLED)
    assert certificate.describe()["Status"] == "PENDING_VALIDATION"
    assert "NotAfter" not in certificate.describe()


def test_pending_while_the_cname_has_another_value(aws, zone):
    certificate = Certificate(aws, zone.domain)
    aws.advance(5)
    wanted = certificate.option()["ResourceRecord"]
    zone.change(("CREATE", record(wanted["Name"], "CNAME", "_other.acm-validations.aws.")))
    aws.advance(SETTLED)
    assert certificate.describe()["Status"] == "PENDING_VALIDATION"


def test_the_cname_counts_in_the_zone_that_the_internet_asks(aws, zone):
    """That is the upper one of two until it delegates to the lower one."""
    below = Zone(aws, f"www.{zone.domain}")
    zone.delegate(below)
    certificate = Certificate(aws, below.domain)
    aws.advance(5)
    certificate.validate(zone)
    aws.advance(SETTLED)
    assert certificate.describe()["Status"] == "PENDING_VALIDATION"
    certificate.validate(below)
    aws.advance(SETTLED)
    assert certificate.describe()["Status"] == "ISSUED"


@pytest.mark.parametrize("name_servers", [["ns1.elsewhere.example"], [], "silent"])
def test_a_zone_that_the_internet_does_not_ask_issues_nothing(aws, zone, name_servers):
    """As where the registrar has other name servers: the CNAME stands, and nobody sees it."""
    certificate = Certificate(aws, zone.domain)
    aws.advance(5)
    aws.delegate(zone.domain, name_servers)
    certificate.validate(zone)
    aws.advance(SETTLED)
    assert certificate.describe()["Status"] == "PENDING_VALIDATION"
    aws.delegate(zone.domain, zone.name_servers)
    assert certificate.describe()["Status"] == "ISSUED"


def test_issued_some_time_after_the_cname_and_after_success(aws, zone):
    certificate = Certificate(aws, zone.domain)
    aws.advance(SETTLED)
    certificate.validate(zone)
    assert certificate.option()["ValidationStatus"] == "PENDING_VALIDATION"
    aws.advance(50)
    assert certificate.option()["ValidationStatus"] == "SUCCESS"
    assert certificate.describe()["Status"] == "PENDING_VALIDATION"
    aws.advance(10)
    assert certificate.describe()["Status"] == "ISSUED"
    assert certificate.describe()["KeyAlgorithm"] == "RSA-2048"


def test_every_name_needs_its_cname(aws, zone):
    certificate = Certificate(aws, zone.domain, SubjectAlternativeNames=[f"www.{zone.domain}"])
    aws.advance(5)
    first = certificate.option()["ResourceRecord"]
    zone.change(("CREATE", record(first["Name"], "CNAME", first["Value"])))
    aws.advance(SETTLED)
    assert certificate.describe()["Status"] == "PENDING_VALIDATION"
    certificate.validate(zone)
    aws.advance(SETTLED)
    assert certificate.describe()["Status"] == "ISSUED"


def test_validation_times_out_after_72_hours(aws, zone):
    certificate = Certificate(aws, zone.domain)
    aws.advance(72 * 3600)
    assert certificate.describe()["Status"] == "VALIDATION_TIMED_OUT"
    certificate.validate(zone)
    aws.advance(SETTLED)
    assert certificate.describe()["Status"] == "VALIDATION_TIMED_OUT"


def test_a_caa_record_that_does_not_admit_amazon_fails_it(aws, zone):
    zone.change(("CREATE", record(zone.domain, "CAA", '0 issue "letsencrypt.org"')))
    described = Certificate(aws, f"www.{zone.domain}").describe()
    assert (described["Status"], described["FailureReason"]) == ("FAILED", "CAA_ERROR")
    zone.change(("UPSERT", record(zone.domain, "CAA", '0 issue "amazon.com"')))
    assert Certificate(aws, f"www.{zone.domain}").describe()["Status"] == "PENDING_VALIDATION"


def test_in_use_by_names_the_load_balancer_and_clears_late(aws, zone, network, name):
    certificate = issued(aws, zone)
    balancer = Balancer(aws, network, name)
    balancer.https_listener(certificate.arn)
    assert certificate.describe()["InUseBy"] == [balancer.arn]
    with refused("ResourceInUseException"):
        certificate.client.delete_certificate(CertificateArn=certificate.arn)
    balancer.delete()
    assert certificate.describe()["InUseBy"] == [balancer.arn]
    with refused("ResourceInUseException"):
        certificate.client.delete_certificate(CertificateArn=certificate.arn)
    aws.advance(30)
    assert certificate.describe()["InUseBy"] == []
    certificate.client.delete_certificate(CertificateArn=certificate.arn)
    with refused("ResourceNotFoundException"):
        certificate.describe()


def test_a_deleted_listener_lets_go_too(aws, zone, network, name):
    certificate = issued(aws, zone)
    balancer = Balancer(aws, network, name)
    listener = balancer.https_listener(certificate.arn)
    balancer.client.delete_listener(ListenerArn=listener)
    assert certificate.describe()["InUseBy"] == [balancer.arn]
    aws.advance(30)
    assert certificate.describe()["InUseBy"] == []


def listed(client, **options) -> list[str]:
    pages = client.get_paginator("list_certificates").paginate(**options)
    return [each["CertificateArn"] for page in pages for each in page["CertificateSummaryList"]]


def test_lists_come_in_pages(aws, name):
    made = [Certificate(aws, f"{name}-{number}.test", "eu-north-1").arn for number in range(5)]
    client = aws.client("acm", "eu-north-1")
    first = client.list_certificates(MaxItems=2)
    assert len(first["CertificateSummaryList"]) == 2
    assert first["NextToken"]
    found = listed(client, PaginationConfig={"PageSize": 2})
    assert len(found) == len(set(found))
    assert set(made) <= set(found)


def test_only_rsa_1024_and_2048_are_listed_unless_asked_for(aws, name):
    client = aws.client("acm", "eu-west-3")
    rsa = Certificate(aws, f"{name}.test", "eu-west-3").arn
    elliptic = Certificate(aws, f"{name}.test", "eu-west-3", KeyAlgorithm="EC_prime256v1").arn
    assert rsa in listed(client)
    assert elliptic not in listed(client)
    everything = listed(client, Includes={"keyTypes": ["RSA_2048", "EC_prime256v1"]})
    assert {rsa, elliptic} <= set(everything)
    assert elliptic in listed(client, Includes={"keyTypes": ["EC_prime256v1"]})


def test_a_token_means_the_same_request_for_an_hour(aws, name):
    first = Certificate(aws, f"{name}.test", IdempotencyToken=name.replace("-", "_"))
    again = Certificate(aws, f"{name}.test", IdempotencyToken=name.replace("-", "_"))
    assert again.arn == first.arn
    aws.advance(3600)
    later = Certificate(aws, f"{name}.test", IdempotencyToken=name.replace("-", "_"))
    assert later.arn != first.arn


def test_the_token_of_a_deleted_certificate_makes_another(aws, name):
    first = Certificate(aws, f"{name}.test", IdempotencyToken=name.replace("-", "_"))
    first.client.delete_certificate(CertificateArn=first.arn)
    again = Certificate(aws, f"{name}.test", IdempotencyToken=name.replace("-", "_"))
    assert again.arn != first.arn


def test_limits_of_a_request(aws, name):
    """API reference, RequestCertificate; user guide, "Quotas": 10 names, the first of 64 octets, a token of \\w{1,32}."""
    long = f"{'a' * 40}.{'b' * 40}.test"
    with refused("ValidationException", "longer than 64"):
        Certificate(aws, long)
    Certificate(aws, f"{name}.test", SubjectAlternativeNames=[long])
    nine = [f"{number}.{name}.test" for number in range(9)]
    Certificate(aws, f"{name}.test", SubjectAlternativeNames=nine)
    with refused("LimitExceededException"):
        Certificate(aws, f"{name}.test", SubjectAlternativeNames=[*nine, f"9.{name}.test"])
    with refused("ValidationException", "idempotencyToken"):
        Certificate(aws, f"{name}.test", IdempotencyToken="with-hyphen")


def test_tags_have_few_characters(aws, name):
    """API reference, Tag."""
    fit = [{"Key": "owner:keep-until", "Value": "2026-11-24T20:00:00+01:00 é_./=@"}]
    made = Certificate(aws, f"{name}.test", Tags=fit)
    for bad in ('{"json": 1}', "a,b", "a*"):
        with refused("ValidationException"):
            Certificate(aws, f"{name}.test", Tags=[{"Key": "key", "Value": bad}])
        with refused("ValidationException"):
            made.client.add_tags_to_certificate(CertificateArn=made.arn, Tags=[{"Key": "key", "Value": bad}])
    tags = made.client.list_tags_for_certificate(CertificateArn=made.arn)["Tags"]
    assert tags == fit
