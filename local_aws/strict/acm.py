"""ACM: a certificate is issued when its validation records stand in DNS, takes time, and is held by what uses it."""

import hashlib
import re
import tempfile
from pathlib import Path

from moto.acm.exceptions import AWSValidationException
from moto.acm.models import AWSCertificateManagerBackend, CertBundle, acm_backends
from moto.acm.responses import AWSCertificateManagerResponse
from moto.core.exceptions import AWSError
from moto.elbv2.models import elbv2_backends

from ..authority import Authority
from ..clock import clock
from . import delays
from .paging import Pages, paged
from .patch import replaces
from .resolver import records_at, resolve
from .route53 import normal
from .tags import must_fit
from .unconfirmed import DELETE_CERTIFICATE_IN_USE, answer

AMAZON_AUTHORITIES = ("amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com")
MOST_NAMES = 10
LONGEST_FIRST_NAME = 64
DEFAULT_KEY_TYPES = ("RSA_1024", "RSA_2048")

_folder = tempfile.TemporaryDirectory(prefix="local-aws-authority-")
authority = Authority(Path(_folder.name))


must_fit(
    AWSCertificateManagerResponse, ("request_certificate", "add_tags_to_certificate"), AWSValidationException
)


def _region_and_account(certificate: CertBundle) -> tuple[str, str]:
    _, _, _, region, account_id, _ = certificate.arn.split(":", 5)
    return region, account_id


def _digest(*parts: str) -> str:
    return hashlib.md5("/".join(parts).encode()).hexdigest()


def validation_record(account_id: str, domain: str) -> dict[str, str]:
    """The CNAME is particular to account and domain: the same for all its certificates, in every region."""
    domain = normal(domain.removeprefix("*."))
    letters = "".join(chr(ord("a") + int(digit, 16)) for digit in _digest(account_id, domain, "zone")[:10])
    return {
        "Name": f"_{_digest(account_id, domain, 'name')}.{domain}",
        "Type": "CNAME",
        "Value": f"_{_digest(account_id, domain, 'value')}.{letters}.acm-validations.aws.",
    }


def _stands_since(certificate: CertBundle, domain: str) -> float | None:
    """From when on the domain's validation CNAME has stood in DNS with exactly the value that ACM asks for."""
    _, account_id = _region_and_account(certificate)
    wanted = validation_record(account_id, domain)
    for record in records_at(wanted["Name"]):
        if record.type == "CNAME" and [normal(value) for value in record.records] == [wanted["Value"]]:
            return max(record.since, certificate.requested_at)
    return None


def _validated(certificate: CertBundle, domain: str, delay: float) -> bool:
    since = _stands_since(certificate, domain)
    return since is not None and clock.passed(since, delay)


def _forbidden_by_caa(domain: str) -> bool:
    """CAA records at the domain, or at the closest name above it, that do not admit Amazon's authorities (RFC 8659)."""
    name = normal(domain.removeprefix("*."))
    while name != ".":
        response = resolve(name, "CAA")
        rrsets = response.answer if response else ()
        if values := [value for rrset in rrsets if rrset.type == "CAA" for value in rrset.values]:
            return not any(authority in value for value in values for authority in AMAZON_AUTHORITIES)
        name = name.partition(".")[2] or "."
    return False


def _domains(certificate: CertBundle) -> list[str]:
    """The certificate's names, its first one first, each once."""
    return list(dict.fromkeys([certificate.common_name, *sorted(certificate.sans)]))


def _issue(certificate: CertBundle) -> None:
    """Only now is there a certificate that a client can trust."""
    certificate.cert = authority.sign(certificate._key.public_key(), _domains(certificate))
    certificate._cert = certificate.validate_certificate()
    certificate.chain = authority.root
    certificate.status = "ISSUED"


@replaces(CertBundle)
def check(original, self):
    """Pending until every domain's CNAME has stood for a while; after 72 hours without: VALIDATION_TIMED_OUT."""
    if self.type != "AMAZON_ISSUED":
        return original(self)
    if self.status != "PENDING_VALIDATION":
        return None
    if any(_forbidden_by_caa(domain) for domain in _domains(self)):
        self.status, self.failure_reason = "FAILED", "CAA_ERROR"
    elif all(_validated(self, domain, delays.ISSUED) for domain in _domains(self)):
        _issue(self)
    elif clock.age(self.requested_at) >= delays.VALIDATION_TIME_OUT:
        self.status = "VALIDATION_TIMED_OUT"
    return None


def _validation_option(certificate: CertBundle, domain: str) -> dict:
    """The record is absent at first; SUCCESS may come before the certificate is ISSUED."""
    _, account_id = _region_and_account(certificate)
    status = {"ISSUED": "SUCCESS", "PENDING_VALIDATION": "PENDING_VALIDATION"}.get(
        certificate.status, "FAILED"
    )
    if status == "PENDING_VALIDATION" and _validated(certificate, domain, delays.VALIDATED):
        status = "SUCCESS"
    option = {
        "DomainName": domain,
        "ValidationDomain": domain,
        "ValidationStatus": status,
        "ValidationMethod": "DNS",
    }
    if clock.passed(certificate.requested_at, delays.RECORDS):
        option["ResourceRecord"] = validation_record(account_id, domain)
    return option


@replaces(CertBundle)
def describe(original, self):
    """DescribeCertificate spells `RSA-2048`; serial number and dates are there once issued."""
    described = original(self)
    certificate = described["Certificate"]
    certificate["KeyAlgorithm"] = (self.requested_key_type or certificate["KeyAlgorithm"]).replace("_", "-")
    if self.type == "AMAZON_ISSUED":
        certificate["DomainValidationOptions"] = [
            _validation_option(self, domain) for domain in _domains(self)
        ]
        certificate["RenewalEligibility"] = "ELIGIBLE" if self.in_use_by else "INELIGIBLE"
        if self.failure_reason:
            certificate["FailureReason"] = self.failure_reason
        if self.status != "ISSUED":
            for field in ("IssuedAt", "NotBefore", "NotAfter", "Serial", "Issuer"):
                certificate.pop(field, None)
    return described


@replaces(CertBundle, "__init__")
def new_certificate(original, self, *arguments, **named):
    """What the strict layer remembers of each certificate."""
    self.requested_at = clock.now()
    self.requested_key_type: str | None = None
    self.failure_reason: str | None = None
    self.released: dict[str, float] = {}
    original(self, *arguments, **named)


def users(certificate_arn: str) -> set[str]:
    """The load balancers with a listener that has this certificate."""
    region, account_id = certificate_arn.split(":")[3:5]
    return {
        load_balancer.arn
        for load_balancer in elbv2_backends[account_id][region].load_balancers.values()
        for listener in load_balancer.listeners.values()
        if certificate_arn in listener.certificates
    }


def _in_use_by(certificate: CertBundle) -> list[str]:
    """InUseBy holds load balancers' ARNs, and for a while those that have just let go of the certificate."""
    lingering = {arn for arn, at in certificate.released.items() if not clock.passed(at, delays.IN_USE)}
    return sorted(users(certificate.arn) | lingering)


# moto fills a list with listeners' ARNs; what it appends to is a copy.
CertBundle.in_use_by = property(_in_use_by, lambda self, _: None)


@replaces(AWSCertificateManagerBackend)
def delete_certificate(original, self, arn):
    """A certificate in use is not deleted; for a while after its load balancer is gone neither."""
    if self.get_certificate(arn).in_use_by:
        message = f"Certificate {arn} in account {self.account_id} is in use."
        raise AWSError(message, exception_type=answer(DELETE_CERTIFICATE_IN_USE))
    return original(self, arn)


@replaces(AWSCertificateManagerBackend)
def request_certificate(
    original, self, domain_name, idempotency_token, subject_alt_names, *arguments, **named
):
    """The same token for the same names within an hour: the same certificate; later, or once deleted, another."""
    tokens = self.__dict__.setdefault("request_tokens", {})
    request = (idempotency_token, domain_name, frozenset(subject_alt_names or []))
    arn, moment = tokens.get(request, (None, 0.0))
    if idempotency_token and arn in self._certificates and clock.age(moment) < delays.TOKEN:
        return arn
    arn = original(self, domain_name, None, subject_alt_names, *arguments, **named)
    tokens[request] = (arn, clock.now())
    return arn


@replaces(AWSCertificateManagerResponse, "get_certificate")
def get_issued_certificate(original, self):
    """There is none to get while it is pending."""
    certificate = self.acm_backend.get_certificate(self._get_param("CertificateArn"))
    if certificate.status == "PENDING_VALIDATION":
        message = f"The certificate {certificate.arn} is not issued yet"
        raise AWSError(message, exception_type="RequestInProgressException")
    return original(self)


def _check_request(call: AWSCertificateManagerResponse) -> None:
    """At most 10 names, the first of at most 64 octets; a token of letters, digits and _ (API reference, user guide)."""
    first, others = call._get_param("DomainName"), call._get_param("SubjectAlternativeNames") or []
    token = call._get_param("IdempotencyToken")
    if len({first, *others}) > MOST_NAMES:
        message = f"The number of domain names exceeds the limit of {MOST_NAMES}"
        raise AWSError(message, exception_type="LimitExceededException")
    if len(first) > LONGEST_FIRST_NAME:
        raise AWSValidationException(
            f"The first domain name '{first}' is longer than {LONGEST_FIRST_NAME} octets"
        )
    if token and not re.fullmatch(r"\w{1,32}", token):
        raise AWSValidationException(f"Value '{token}' at 'idempotencyToken' must match \\w+")


@replaces(AWSCertificateManagerResponse, "request_certificate")
def request_with_key_type(original, self):
    """moto makes every key RSA; the type asked for is what ACM says and filters by."""
    _check_request(self)
    made = original(self)
    certificate = self.acm_backend.get_certificate(made.result["CertificateArn"])
    certificate.requested_key_type = certificate.requested_key_type or self._get_param("KeyAlgorithm")
    return made


@replaces(AWSCertificateManagerBackend)
def list_certificates(original, self, statuses, includes):
    """Without Includes.keyTypes only RSA_1024 and RSA_2048 are listed."""
    others = dict(includes or {})
    key_types = others.pop("keyTypes", None) or DEFAULT_KEY_TYPES
    for certificate in original(self, statuses, others):
        if certificate.describe()["Certificate"]["KeyAlgorithm"].replace("-", "_") in key_types:
            yield certificate


paged(
    AWSCertificateManagerResponse,
    Pages("MaxItems", "NextToken", "NextToken", 100, AWSValidationException),
    list_certificates="CertificateSummaryList",
)


def is_issued(certificate_arn: str) -> bool:
    """What a load balancer asks of a certificate."""
    return find(certificate_arn).status == "ISSUED"


def release(certificate_arn: str, load_balancer_arn: str) -> None:
    """A load balancer has let go of the certificate; ACM notices later."""
    certificate = find(certificate_arn)
    if certificate is not None:
        certificate.released[load_balancer_arn] = clock.now()


def find(certificate_arn: str) -> CertBundle | None:
    """The certificate, as it stands now."""
    region, account_id = certificate_arn.split(":")[3:5]
    certificate = acm_backends[account_id][region]._certificates.get(certificate_arn)
    if certificate is not None:
        certificate.check()
    return certificate
