"""A store behind https: certificates are checked, and trusted by AWS's own means."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ahstore.client.store import Store
from ahstore.errors import StorageError
from ahstore.testing.s3_servers import S3Server


def make_certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 that only it vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    text = serialization.Encoding.PEM
    file.write_bytes(
        certificate.public_bytes(text)
        + key.private_bytes(text, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


class Encrypted(socketserver.ThreadingTCPServer):
    """Takes the encryption off each connection and hands it on to ``port``."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.context, self.port = context, port


class Relay(socketserver.BaseRequestHandler):
    server: Encrypted

    def handle(self) -> None:
        try:
            outside = self.server.context.wrap_socket(self.request, server_side=True)
        except OSError:  # the client does not trust us
            return
        with outside, socket.create_connection(("127.0.0.1", self.server.port)) as inside:
            back = threading.Thread(target=copy, args=(inside, outside), daemon=True)
            back.start()
            copy(outside, inside)
            back.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def https_url(s3_environment: S3Server, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a new store behind https, and the certificate to trust."""
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    behind = int(s3_environment.endpoint.rpartition(":")[2])
    with Encrypted(context, behind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bucket, prefix = s3_environment.bucket, secrets.token_hex(8)
        endpoint = f"https://127.0.0.1:{server.server_address[1]}"
        yield f"s3://{bucket}/{prefix}?endpoint_url={endpoint}", certificate
        server.shutdown()


def test_a_certificate_nobody_vouches_for_is_refused(
    https_url: tuple[str, Path], tmp_path: Path
) -> None:
    # Else whoever stands between reads and changes everything, credentials' signatures too.
    with pytest.raises(StorageError, match="SSL validation failed"):
        Store.open(https_url[0], cache_dir=tmp_path, user="me")


def test_a_store_behind_https(
    https_url: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, certificate = https_url
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    (tmp_path / "x").write_bytes(b"content")
    with Store.open(url, cache_dir=tmp_path / "c", user="me") as store:
        store.create("dataset/f")
        store.create("dataset/f/a")
        store.commit("dataset/f/a", "first", add=[str(tmp_path / "x")])
        store.download("dataset/f/a", save_dir=tmp_path / "out")
    assert (tmp_path / "out" / "x").read_bytes() == b"content"
