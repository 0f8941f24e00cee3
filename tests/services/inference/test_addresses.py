"""Fetching without reaching private networks; the servers here are on loopback, declared public where needed."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from deployments.services.inference import addresses
from deployments.services.inference.addresses import checked_client, is_public, refuse_private_literal
from tasks.domain.errors import AccessDenied


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """Also where IPv6 wraps a public IPv4 address."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_every_other_address_is_private(address: str) -> None:
    """Loopback, private, link-local, shared, multicast, and each of them wrapped in IPv6."""
    assert not is_public(address)
    with pytest.raises(AccessDenied):
        refuse_private_literal(address)


@pytest.mark.parametrize("host", ["bucket.s3.amazonaws.com", "localhost.example.com", "8.8.8.8"])
def test_a_host_that_may_be_public_passes_for_now(host: str) -> None:
    """Names are looked up when the video is fetched."""
    refuse_private_literal(host)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, and could be shared where they must not

    def do_GET(self) -> None:
        target = self.path.partition("to=")[2]
        self.send_response(302 if target else 200)
        if target:
            self.send_header("Location", target)
        body = b"" if target else f"{self.headers['Host']} {self.path}".encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def _serving(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that answers with the Host header and the path, or redirects to what follows `to=`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 stands for the Internet, every other address for the private network."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")


class _Dns:
    """Names and the addresses that they have, one answer after the other."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.names = names
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self.names.get(host.partition(".")[0])
        if not answers:
            raise OSError(-2, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.mark.usefixtures("loopback_is_public")
def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """The system's own resolver is not asked again; the server still sees the host's name and the exact path."""
    with _serving() as port, checked_client(allow_private=False, resolve=_Dns(video=[["127.0.0.1"]])) as client:
        response = client.get(f"http://video.test:{port}/a%2Fb%20c+d?sig=%2f%3D&x")
        assert response.text == f"video.test:{port} /a%2Fb%20c+d?sig=%2f%3D&x"


@pytest.mark.usefixtures("loopback_is_public")
def test_a_name_that_changes_its_mind_is_refused() -> None:
    """DNS rebinding: public when first asked, private for the next connection."""
    dns = _Dns(video=[["127.0.0.1"], ["127.0.0.2"]])
    with _serving() as port, checked_client(allow_private=False, resolve=dns) as client:
        assert client.get(f"http://video.test:{port}/").status_code == 200
        with pytest.raises(AccessDenied, match=r"video\.test"):
            client.get(f"http://video.test:{port}/")


@pytest.mark.usefixtures("loopback_is_public")
def test_one_private_address_among_several_is_enough_to_refuse() -> None:
    """Nobody chooses for us which of them is used."""
    dns = _Dns(video=[["127.0.0.1", "127.0.0.2"]])
    with checked_client(allow_private=False, resolve=dns) as client, pytest.raises(AccessDenied):
        client.get("http://video.test/")


@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize(
    "target", ["http://inside.test/", "http://127.0.0.2/", "//inside.test/x", "https://inside.test/"]
)
def test_a_redirect_into_the_private_network_is_refused(target: str) -> None:
    """Every hop is checked as the first one is."""
    dns = _Dns(video=[["127.0.0.1"]], inside=[["127.0.0.2"]])
    dns.names["127"] = [["127.0.0.2"]]
    with (
        _serving() as port,
        checked_client(allow_private=False, resolve=dns) as client,
        pytest.raises(AccessDenied),
    ):
        client.get(f"http://video.test:{port}/?to={target}", follow_redirects=True)


@pytest.mark.usefixtures("loopback_is_public")
def test_three_redirects_are_followed_and_four_are_not() -> None:
    """Whatever they lead to."""
    dns = _Dns(video=[["127.0.0.1"]])
    with _serving() as port, checked_client(allow_private=False, resolve=dns) as client:
        three = f"http://video.test:{port}/" + "?to=/" * 3
        assert client.get(three, follow_redirects=True).status_code == 200
        with pytest.raises(httpx.TooManyRedirects):
            client.get(three + "?to=/", follow_redirects=True)


@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://video.test/", "data:,x"])
def test_a_redirect_to_another_scheme_is_refused(target: str) -> None:
    """Only http(s) is fetched."""
    with (
        _serving() as port,
        checked_client(allow_private=False, resolve=_Dns(video=[["127.0.0.1"]])) as client,
        pytest.raises((httpx.UnsupportedProtocol, httpx.InvalidURL)),
    ):
        client.get(f"http://video.test:{port}/?to={target}", follow_redirects=True)


def test_the_systems_resolver_gives_every_address() -> None:
    """What it says of this machine is private, in whichever spelling."""
    with checked_client(allow_private=False) as client:
        for host in ("localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1"):
            with pytest.raises(AccessDenied):
                client.get(f"http://{host}:9/")


def test_private_addresses_can_be_allowed() -> None:
    """For those who keep their videos inside."""
    with _serving() as port, checked_client(allow_private=True) as client:
        assert client.get(f"http://localhost:{port}/x").text == f"localhost:{port} /x"


def test_a_second_address_is_tried_when_the_first_does_not_answer() -> None:
    """As a browser would: IPv6 first, IPv4 where that is not routed."""
    dns = _Dns(video=[["::1", "127.0.0.1"]])
    with _serving() as port, checked_client(allow_private=True, resolve=dns) as client:
        assert client.get(f"http://video.test:{port}/").status_code == 200


@pytest.mark.parametrize("host", ["nowhere.test", "x" * 64 + ".test", "nowhere..test"])
def test_a_name_without_an_address_is_a_connection_error(host: str) -> None:
    """Which the engine tries again, unlike a refusal."""
    with checked_client(allow_private=False, resolve=_Dns()) as client, pytest.raises(httpx.ConnectError):
        client.get(f"http://{host}/")


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve names where we cannot check them."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with _serving() as port, checked_client(allow_private=True, resolve=_Dns(video=[["127.0.0.1"]])) as client:
        assert client.get(f"http://video.test:{port}/").status_code == 200


def _certificate_for(name: str, folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "both.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_tls_proves_the_hosts_name_not_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting to an address of our choice must not weaken the check of the certificate."""
    pem = _certificate_for("video.test", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    dns = _Dns(video=[["127.0.0.1"]], other=[["127.0.0.1"]])
    with _serving(tls) as port, checked_client(allow_private=True, resolve=dns) as client:
        assert client.get(f"https://video.test:{port}/").status_code == 200
        # The pooled connection to the same address was proven for another name.
        with pytest.raises(httpx.ConnectError, match="certificate"):
            client.get(f"https://other.test:{port}/")
