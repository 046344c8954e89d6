"""A certificate authority of one test, and the certificates that it and others sign."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """``file`` is what a client trusts, for instance by SSL_CERT_FILE."""

    file: Path
    _key: ec.EllipticCurvePrivateKey
    _name: x509.Name

    def server(self, host: str, *, since: timedelta = -DAY, until: timedelta = DAY) -> ssl.SSLContext:
        """What a server of ``host`` uses, with a certificate of this authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _context(self.file.parent, key, _certificate(host, key, self._name, self._key, since, until))

    def self_signed(self, host: str) -> ssl.SSLContext:
        """What a server of ``host`` uses that signed its certificate itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _context(self.file.parent, key, _certificate(host, key, _named(host), key, -DAY, DAY))


def authority(directory: Path) -> Authority:
    key, name = ec.generate_private_key(ec.SECP256R1()), _named("authority of a test")
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file = directory / "authority.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM))
    return Authority(file, key, name)


def _certificate(
    host: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    since: timedelta,
    until: timedelta,
) -> x509.Certificate:
    now = datetime.now(UTC)
    is_address = host.replace(".", "").isdigit()
    subject = x509.IPAddress(ip_address(host)) if is_address else x509.DNSName(host)
    serial = x509.random_serial_number()
    return (
        x509.CertificateBuilder(issuer, _named(host), key.public_key(), serial, now + since, now + until)
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .sign(issuer_key, SHA256())
    )


def _context(directory: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> ssl.SSLContext:
    file = directory / f"{certificate.serial_number}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
