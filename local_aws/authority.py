"""The authority that signs the local AWS's certificates; a client that trusts its root trusts them all."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# What ACM's public certificates live since February 2026.
LIFE = datetime.timedelta(days=198)
# So that a certificate of this very second is valid already.
EARLIER = datetime.timedelta(minutes=1)


def pem(key) -> bytes:
    """A private key as ImportCertificate takes it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """Kept in a folder, made there if need be: moto's process has it, and tests sign with it too."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.root_file = folder / "root.pem"
        self._key_file = folder / "root.key"
        if not self.root_file.exists():
            self._make()
        self.root = self.root_file.read_bytes()
        self._certificate = x509.load_pem_x509_certificate(self.root)
        self._key = serialization.load_pem_private_key(self._key_file.read_bytes(), None)

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Local AWS")])
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - EARLIER)
            .not_valid_after(now + 2 * LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.root_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self._key_file.touch(0o600)
        self._key_file.write_bytes(pem(key))

    def sign(self, public_key, names: list[str], life: datetime.timedelta = LIFE) -> bytes:
        """A server's certificate, in PEM, valid from now on; its first name is its subject."""
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            x509.CertificateBuilder(
                self._certificate.subject, subject, public_key, x509.random_serial_number()
            )
            .not_valid_before(now - EARLIER)
            .not_valid_after(now + life)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._certificate.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def certificate(self, *names: str, life: datetime.timedelta = LIFE) -> tuple[bytes, bytes]:
        """A certificate with a key of its own, both in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self.sign(key.public_key(), list(names), life), pem(key)
