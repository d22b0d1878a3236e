"""TLS belongs to the name in the URL, though the connection goes to an address; private authorities can be trusted."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modq.signature import new_secret
from modq_worker.delivery_outcome import Answer
from modq_worker.endpoint_address import EndpointRules
from modq_worker.webhook import CertificatesUnreadable, WebhookSender


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A company's own authority")])
        self.file = folder / "ca.pem"
        self.file.write_bytes(_pem(self._certify(self._name, self._key, x509.BasicConstraints(True, 0))))

    def server(self, *names: str) -> ssl.SSLContext:
        """TLS with a certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        certificate = self._certify(x509.Name([]), key, alternatives)
        file = self._folder / f"{names[0]}.pem"
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(private + _pem(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _certify(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        # Python 3.13 refuses authorities that say less.
        usage = x509.KeyUsage(True, False, False, False, False, key is self._key, False, False, False)
        for each, critical in (
            (extension, True),
            (usage, True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        ):
            builder = builder.add_extension(each, critical)
        return builder.sign(self._key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass
class TlsReceiver:
    port: int
    asked_for: list[str | None] = field(default_factory=list)
    """The server names that clients gave (SNI)."""
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def tls_receiving(context: ssl.SSLContext) -> Iterator[TlsReceiver]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = TlsReceiver(listener.getsockname()[1])
        context.sni_callback = lambda connection, name, context: receiver.asked_for.append(name)

        def serve() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(plain, server_side=True) as connection:
                        receiver.requests.append(_whole_request(connection))
                        connection.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                except OSError:
                    plain.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield receiver
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _whole_request(connection: ssl.SSLSocket) -> bytes:
    # To its body's end: closing on bytes that nobody read resets the connection, and the answer is lost with it.
    request = b""
    while not request.endswith(b"\r\n\r\n{}") and (more := connection.recv(65536)):
        request += more
    return request


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def send(url: str, ca_file: Path | None) -> Answer:
    # Only what leads to the loopback is let through here; looking up, connecting and TLS are as ever.
    rules = EndpointRules(allow_private=True, resolve=lambda host, port: ["127.0.0.1"])

    async def work() -> Answer:
        async with WebhookSender(deadline=5, connections=1, rules=rules, ca_file=ca_file) as sender:
            return await sender.send(url, [new_secret()], "msg_1", b"{}")

    return asyncio.run(work())


def test_the_name_is_what_is_asked_for_certified_and_told(authority: Authority) -> None:
    with tls_receiving(authority.server("forum.example")) as receiver:
        assert send(f"https://forum.example:{receiver.port}/hook?a=b", authority.file) == Answer(204)
    assert receiver.asked_for == ["forum.example"]
    [request] = receiver.requests
    assert request.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert f"\r\nhost: forum.example:{receiver.port}\r\n".encode() in request.lower()


@pytest.mark.parametrize("names", [("other.example",), ("127.0.0.1",), ("*.forum.example",)])
def test_a_certificate_for_another_name_or_for_the_address_is_refused(authority: Authority, names: tuple[str, ...]) -> None:
    with tls_receiving(authority.server(*names)) as receiver:
        answer = send(f"https://forum.example:{receiver.port}/hook", authority.file)
    assert (answer.error or "").startswith("TLS failed: Hostname mismatch")
    assert receiver.requests == []


def test_a_private_authority_must_be_named_to_be_trusted(authority: Authority) -> None:
    with tls_receiving(authority.server("forum.example")) as receiver:
        answer = send(f"https://forum.example:{receiver.port}/hook", None)
    assert (answer.error or "").startswith("TLS failed: ")
    assert receiver.requests == []


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_without_certificates_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CertificatesUnreadable, match="MODQ_WEBHOOK_CA_FILE"):
        WebhookSender(deadline=1, connections=1, rules=EndpointRules(), ca_file=file)
