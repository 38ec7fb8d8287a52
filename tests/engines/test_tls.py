"""Over TLS too the connection goes to the address that was checked, and the server still has to prove the name it was asked by."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from escriba.engines.own_host import OneHost
from escriba.engines.vision import VisionClient
from escriba.errors import EngineUnavailable
from tests.engines.fake_server import FakeServer, fake
from tests.engines.pictures import question


def certificate(folder: Path, name: str) -> Path:
    """Key and self-signed certificate for a name, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def fake_with(pem: Path) -> Iterator[FakeServer]:
    with fake() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server


@contextmanager
def client_of(server: FakeServer, trusted: Path | None) -> Iterator[VisionClient]:
    """A client of https://gpu.example, which the resolver takes to this machine; `trusted` stands in for the public authorities."""
    url = f"https://gpu.example:{server.place[1]}/v1"
    with VisionClient(url, tries=1, resolver=lambda host, _: ["127.0.0.1"]) as client:
        if trusted is not None:
            transport = client._http._transport
            assert isinstance(transport, OneHost)
            transport._inner = httpx2.AsyncHTTPTransport(trust_env=False, verify=ssl.create_default_context(cafile=str(trusted)))
        yield client


def test_the_server_proves_its_name(tmp_path: Path) -> None:
    """The right name by an authority that is trusted: answered."""
    pem = certificate(tmp_path, "gpu.example")
    with fake_with(pem) as server, client_of(server, pem) as client:
        assert client.ask(question(), 20).finish == "stop"


@pytest.mark.parametrize(("name", "trusted"), [("other.example", True), ("127.0.0.1.example", True), ("gpu.example", False)])
def test_a_server_that_cannot_prove_its_name_gets_nothing(tmp_path: Path, name: str, trusted: bool) -> None:
    """Another name, or an authority that nobody knows: no request is sent."""
    pem = certificate(tmp_path, name)
    with fake_with(pem) as server, client_of(server, pem if trusted else None) as client:
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            client.ask(question(), 20)
        assert server.seen == []
