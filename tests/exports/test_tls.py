"""Certificates and proxies of the environment, over real TLS."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exceptions import ConnectionSetupError
from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, settings_for, sync
from tests.support.proxy import ForwardProxy, closed_port, endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_time import FakeTime
    from tests.support.tls import Certificates

ROWS = 3
PROXY_ADVICE = "Correct HTTPS_PROXY, ALL_PROXY or NO_PROXY."


@pytest.fixture
def service(certificates: Certificates) -> Iterator[Simulator]:
    """A service on localhost with a certificate of a private authority."""
    dataset = Dataset(ROWS, newest=NEWEST)
    with Simulator(dataset, tls=certificates.localhost) as simulator:
        yield simulator


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> pytest.MonkeyPatch:
    """Make the environment trust the private authority."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.ca_file)
    return monkeypatch


def problem(service: Simulator, *, requests: int = 0) -> str:
    """Run the tap and return the error that ends it before it waits."""
    output = sync(settings_for(service), "events", "rsvp")
    assert isinstance(output.error, ConnectionSetupError)
    assert output.records == {}
    assert len(service.requests) == requests
    return str(output.error).removeprefix("Stream 'events': no connection: ")


def assert_complete(service: Simulator) -> None:
    """Check that the tap reads all rows."""
    output = sync(settings_for(service), "events", "rsvp")
    assert output.error is None
    assert {name: len(rows) for name, rows in output.records.items()} == {
        "events": ROWS,
        "rsvp": ROWS,
    }


# Certificates


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_private_authority_of_the_environment_is_trusted(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates, service: Simulator, variable: str
) -> None:
    monkeypatch.setenv(variable, certificates.ca_file)
    assert_complete(service)


def test_unknown_authority_ends_the_run_and_names_the_setting(
    service: Simulator, fake_time: FakeTime
) -> None:
    found = problem(service)
    assert found.startswith("the certificate is not trusted (unable to get local issuer")
    assert "set REQUESTS_CA_BUNDLE to the file with the certificates" in found
    assert fake_time.slept == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [("wrong_host", "Hostname mismatch"), ("expired", "certificate has expired")],
)
@pytest.mark.usefixtures("trusted")
def test_invalid_certificate_ends_the_run(
    certificates: Certificates, fake_time: FakeTime, name: str, reason: str
) -> None:
    with Simulator(tls=getattr(certificates, name)) as service:
        assert problem(service).startswith(f"the certificate is not trusted ({reason}")
    assert fake_time.slept == []


@pytest.mark.parametrize("content", [None, "not a certificate"], ids=["missing", "invalid"])
def test_certificate_file_that_cannot_be_read_ends_the_run(
    service: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fake_time: FakeTime,
    content: str | None,
) -> None:
    path = tmp_path / "authority.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    assert problem(service) == (
        "a certificate file cannot be read. Correct REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE."
    )
    assert fake_time.slept == []


# Proxies


def test_proxy_of_the_environment_is_used_unless_the_host_is_excluded(
    service: Simulator, trusted: pytest.MonkeyPatch
) -> None:
    with ForwardProxy(credentials="user:password") as proxy:
        trusted.setenv("HTTPS_PROXY", proxy.url)
        assert_complete(service)
        used = len(proxy.requests)
        assert {request.method for request in proxy.requests} == {"CONNECT"}
        trusted.setenv("NO_PROXY", "localhost")
        assert_complete(service)
        assert len(proxy.requests) == used > 0


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_plain_http_to_this_machine_uses_no_proxy(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The proxy would read the secret."""
    with ForwardProxy() as proxy:
        monkeypatch.setenv(variable, proxy.url)
        assert sync(settings_for(simulator), "events").error is None
        assert proxy.requests == []


def test_credentials_of_netrc_are_not_sent(
    service: Simulator, trusted: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine localhost login user password secret\n")
    path.chmod(0o600)
    trusted.setenv("NETRC", str(path))
    assert_complete(service)
    names = {name.lower() for request in service.requests for name in request.headers}
    assert "authorization" not in names


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://no-such-host.invalid:3128", "the proxy cannot be used (gaierror). "),
        ("socks5://127.0.0.1:9", "a SOCKS proxy needs the package PySocks. Install it, or c"),
        ("ftp://127.0.0.1:9", "a URL is invalid. Correct api_url, "),
        ("http://", "a URL is invalid. Correct api_url, "),
        ("http://127.0.0.1:99999", "a URL is invalid. Correct api_url, "),
    ],
)
def test_proxy_url_that_cannot_be_used_ends_the_run(
    service: Simulator, trusted: pytest.MonkeyPatch, fake_time: FakeTime, url: str, reason: str
) -> None:
    trusted.setenv("HTTPS_PROXY", url)
    found = problem(service)
    assert found.startswith(reason)
    assert found.endswith(PROXY_ADVICE[len("Correct ") :])
    assert fake_time.slept == []


@pytest.mark.parametrize(
    ("refusal", "credentials", "reason"),
    [(HTTPStatus.FORBIDDEN, "", "HTTP 403"), (None, "user:password", "HTTP 407")],
)
def test_proxy_that_refuses_ends_the_run(
    service: Simulator,
    trusted: pytest.MonkeyPatch,
    fake_time: FakeTime,
    refusal: HTTPStatus | None,
    credentials: str,
    reason: str,
) -> None:
    with ForwardProxy(credentials=credentials, refusal=refusal) as proxy:
        trusted.setenv("HTTPS_PROXY", proxy.url.replace("password", "wrong"))
        assert problem(service) == f"the proxy cannot be used ({reason}). {PROXY_ADVICE}"
        assert [request.method for request in proxy.requests] == ["CONNECT"]
    assert fake_time.slept == []


def test_proxy_without_a_listener_ends_the_run(
    service: Simulator, trusted: pytest.MonkeyPatch, fake_time: FakeTime
) -> None:
    with closed_port() as url:
        trusted.setenv("HTTPS_PROXY", url)
        found = problem(service)
    assert found == f"the proxy cannot be used (ConnectionRefusedError). {PROXY_ADVICE}"
    assert fake_time.slept == []


@pytest.mark.parametrize("answer", [b"SSH-2.0-example\r\n", b""], ids=["another protocol", "none"])
@pytest.mark.usefixtures("trusted")
def test_endpoint_that_is_not_a_proxy_fails_after_all_attempts(
    service: Simulator, monkeypatch: pytest.MonkeyPatch, fake_time: FakeTime, answer: bytes
) -> None:
    with endpoint(answer) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        output = sync(settings_for(service), "events")
    assert "failed after 8 attempts: " in str(output.error)
    assert len(fake_time.slept) == 7


@pytest.mark.parametrize("refusal", [HTTPStatus.FORBIDDEN, HTTPStatus.BAD_GATEWAY])
@pytest.mark.usefixtures("fake_time")
def test_proxy_that_fails_after_the_service_has_answered_is_retried(
    service: Simulator, trusted: pytest.MonkeyPatch, refusal: HTTPStatus
) -> None:
    """A proxy that restarts must not end a long run."""
    with ForwardProxy() as proxy:
        trusted.setenv("HTTPS_PROXY", proxy.url)
        proxy.refusals.extend([None, refusal])  # the second stream has another connection
        assert_complete(service)
        assert [request.status for request in proxy.requests] == [200, refusal, 200]
