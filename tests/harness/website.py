"""A website on loopback behind TLS, with a certificate authority of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from coffret.wellknown import Web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

HOST = "planner.example.com"
"""The name in its certificate; it is never looked up."""


def page(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


class Website:
    """Answers every request with ``answer``, and keeps what it was asked."""

    def __init__(self, folder: Path, host: str = HOST) -> None:
        """Make the keys and certificates in ``folder``; it listens once it is entered."""
        self.answer: bytes = page(b"", "404 Not Found")
        self.asked: list[bytes] = []
        self.connections = 0
        self._serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca = _certify(folder, host, self._serving)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def trusted(self) -> ssl.SSLContext:
        """What believes its authority, and no other."""
        return ssl.create_default_context(cadata=self._ca)

    def here(self, _host: str) -> Iterable[tuple[str, int]]:
        """Every name is at this website."""
        return [("127.0.0.1", self.port)]

    def web(self, allowed: Callable[[str], bool] = lambda _: True) -> Web:
        """The SDK's own fetching, with every name at this website."""
        return Web(addresses=self.here, allowed=allowed, context=self.trusted)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with plain, suppress(OSError):
                plain.settimeout(5)
                self._talk(plain)

    def _talk(self, plain: socket.socket) -> None:
        with self._serving.wrap_socket(plain, server_side=True) as tls:
            asked = b""
            while b"\r\n\r\n" not in asked:
                chunk = tls.recv(4096)
                if not chunk:
                    return
                asked += chunk
            self.asked.append(asked)
            tls.sendall(self.answer)


def _certify(folder: Path, host: str, serving: ssl.SSLContext) -> str:
    """Give ``serving`` a certificate for ``host``, and return its authority's, as PEM."""
    authority, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    root = _certificate("Tests", authority, "Tests", authority, None)
    leaf = _certificate(host, key, "Tests", authority, host)
    pem, secret = folder / "site.pem", folder / "site.key"
    pem.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    serving.load_cert_chain(pem, secret)
    return root.public_bytes(serialization.Encoding.PEM).decode()


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    host: str | None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    day = timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if host is not None:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    else:
        made = made.add_extension(_SIGNS, critical=True)
    return made.sign(signer, hashes.SHA256())


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
