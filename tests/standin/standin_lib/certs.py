# SPDX-License-Identifier: MIT
"""Throw-away certificates: made at every start, good ones and bad ones. P-256, because RSA keys take their time."""

import datetime
import ipaddress
import os
import pathlib

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority that lives as long as this process."""

    def __init__(self, folder, name):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        self._x509, self._hashes, self._serialization, self._ec = x509, hashes, serialization, ec
        self._folder = pathlib.Path(folder)
        self._now = datetime.datetime.utcnow()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = self._subject(f"Stand-in {name}, for tests only")
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = self._builder(self._name, self._key, self._now - DAY, self._now + 3650 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        self.file = self._folder / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _subject(self, common_name):
        return self._x509.Name([self._x509.NameAttribute(self._x509.NameOID.COMMON_NAME, common_name)])

    def _builder(self, subject, key, begins, ends):
        x509 = self._x509
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def issue(self, file_name, common_name, hosts=(), ends=None):
        """(certificate file, key file) of a server (with `hosts`) or a client (without)."""
        x509, serialization = self._x509, self._serialization
        key = self._ec.generate_private_key(self._ec.SECP256R1())
        ends = ends or self._now + 3650 * DAY
        builder = self._builder(self._subject(common_name), key, min(self._now, ends) - DAY, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        purpose = x509.ExtendedKeyUsageOID.SERVER_AUTH if hosts else x509.ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([self._alt_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, self._hashes.SHA256())
        cert_file, key_file = self._folder / f"{file_name}.pem", self._folder / f"{file_name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # 0600 from the start: bearerd refuses key files that others may read, and tests hand it these.
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(text)
        return cert_file, key_file

    def _alt_name(self, host):
        try:
            return self._x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            return self._x509.DNSName(host)


HERE = ("localhost", "127.0.0.1", "::1")


def make_all(folder):
    """Name to (certificate file, key file), and "ca" and "bad-ca" to their certificate file."""
    authority, bad = Authority(folder, "ca"), Authority(folder, "bad-ca")
    yesterday = datetime.datetime.utcnow() - DAY
    return {
        "ca": authority.file,
        "bad-ca": bad.file,
        "server": authority.issue("server", "localhost", HERE),
        "expired": authority.issue("expired", "localhost", HERE, ends=yesterday),
        "wrong-host": authority.issue("wrong-host", "wrong.example", ("wrong.example",)),
        "untrusted": bad.issue("untrusted", "localhost", HERE),
        "client": authority.issue("client", "standin-client"),
        "other-client": authority.issue("other-client", "standin-other-client"),
        "bad-client": bad.issue("bad-client", "standin-client"),
    }
