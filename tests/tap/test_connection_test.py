"""`--test`: one small export per selected stream shows which streams are readable."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.connection_test import NOT_FINISHED
from tests.simulator import Dataset, Simulator, Status
from tests.support.harness import NEWEST, catalog_of, invoke, only_error, settings_for
from tests.support.messages import CHECK_SECRET, CONNECTION_TEST, DENIED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_time import FakeTime

STREAMS = sorted(Dataset(0, newest=NEWEST).streams)


@pytest.fixture
def service() -> Iterator[Simulator]:
    """A service whose exports are queued and running before they complete."""
    with Simulator(Dataset(30, newest=NEWEST), queued_polls=1, running_polls=1) as simulator:
        yield simulator


def verdicts(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Return the result of each stream."""
    (record,) = (r for r in caplog.records if r.getMessage().startswith(CONNECTION_TEST))
    lines = (line.split(maxsplit=1) for line in record.getMessage().splitlines()[1:])
    return {stream: verdict.strip() for stream, verdict in lines}


@pytest.mark.usefixtures("impatient")
def test_small_export_of_each_stream_shows_that_it_is_readable(
    tmp_path: Path, service: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    before = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=50)
    result = invoke(tmp_path, "--test", config=settings_for(service, lookback_hours=50))
    assert (result.exit_code, result.stdout) == (0, "")
    assert verdicts(caplog) == dict.fromkeys(STREAMS, "readable")
    assert f"{CONNECTION_TEST}23 of 23 streams readable (" in caplog.text
    (record,) = (r for r in caplog.records if hasattr(r, "readable"))
    assert (record.readable, record.unreadable) == (STREAMS, [])  # type: ignore[attr-defined]
    # One hour before the lookback.
    posted = [request for request in service.requests if request.method == "POST"]
    assert sorted(request.stream or "" for request in posted) == STREAMS
    for request in posted:
        start, end = (
            datetime.fromisoformat(request.query[name]) for name in ("updatedStart", "updatedEnd")
        )
        assert end - start == timedelta(hours=1)
        assert before <= end <= datetime.now(UTC) - timedelta(hours=50) + timedelta(seconds=1)
    assert service.peak_active <= 4


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("status", "streams"),
    [(403, STREAMS[:2]), (404, ["payments", "users"]), (500, ["payments", "users"])],
)
def test_streams_without_access_are_listed_in_the_error(
    tmp_path: Path,
    service: Simulator,
    caplog: pytest.LogCaptureFixture,
    status: int,
    streams: list[str],
) -> None:
    for stream in streams:
        service.inject(Status(status).on(stream, "submit", times=None))
    result = invoke(tmp_path, "--test", config=settings_for(service))
    assert result.exit_code == 1
    assert (
        "2 of 23 streams cannot be read: " + ", ".join(streams) + ". See the lines above for the "
        "reasons. Deselect them, or ask CampusGroups which data the secret may read."
    ) in caplog.messages[-1]
    found = verdicts(caplog)
    assert [stream for stream in STREAMS if found[stream] != "readable"] == streams
    assert all(f"HTTP {status}" in found[stream] for stream in streams)


def test_wrong_secret_is_one_request_and_one_line(
    tmp_path: Path, service: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings_for(service, api_secret="not-the-secret")  # noqa: S106 - not a secret
    done = invoke(tmp_path, "--test", config=config)
    assert (done.exit_code, done.stdout) == (1, "")
    line = only_error(caplog)
    assert f"{DENIED}401" in line
    assert CHECK_SECRET in line
    assert len(service.requests) == 1
    assert "not-the-secret" not in caplog.text


@pytest.mark.usefixtures("impatient")
def test_secret_without_access_to_any_stream_tests_all_streams(
    tmp_path: Path, service: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    service.inject(Status(403).on(None, "submit", times=None))
    assert invoke(tmp_path, "--test", config=settings_for(service)).exit_code == 1
    assert f"{CONNECTION_TEST}0 of 23 streams readable" in caplog.text
    assert len(service.requests) == 23


def unknown_host(*_: object, **__: object) -> list[Any]:
    """Raise the error of a host name without an address."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


REFUSED = (
    "POST /academic_experiences failed after 2 attempts: ConnectionError (ConnectionRefusedError). "
    "Check the network, school_code and api_url."
)


@pytest.mark.parametrize(
    ("is_host_known", "error"),
    [
        (False, "no connection: the host name does not exist. Correct school_code or api_url."),
        (True, REFUSED),
    ],
)
def test_connection_that_cannot_be_made_fails_after_seconds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fake_time: FakeTime,
    error: str,
    *,
    is_host_known: bool,
) -> None:
    if not is_host_known:
        monkeypatch.setattr(socket, "getaddrinfo", unknown_host)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/data/v1"
        config = {"api_secret": "s", "school_code": "x", "api_url": url}
        result = invoke(tmp_path, "--test", config=config)
    assert result.exit_code == 1
    assert caplog.messages[-1] == f"Stream 'academic_experiences': {error}"
    assert sum(fake_time.slept) < 3


def test_slow_export_is_readable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fake_time: FakeTime
) -> None:
    with Simulator(Dataset(3, newest=NEWEST), running_polls=10_000) as service:
        result = invoke(
            tmp_path, "--test", config=settings_for(service), catalog=catalog_of(["events"])
        )
    assert result.exit_code == 0
    assert verdicts(caplog) == {"events": NOT_FINISHED}
    assert 15 <= sum(fake_time.slept) < 16


def test_busy_service_fails_after_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fake_time: FakeTime
) -> None:
    with Simulator(Dataset(3, newest=NEWEST)) as service:
        busy = Status(503, headers={"Retry-After": "300"})
        service.inject(busy.on("events", "submit", times=None))
        result = invoke(
            tmp_path, "--test", config=settings_for(service), catalog=catalog_of(["events"])
        )
    assert result.exit_code == 1
    assert "HTTP 503" in caplog.messages[-1]
    assert sum(fake_time.slept) < 6


def test_schema_option_writes_the_schemas_of_all_streams(tmp_path: Path) -> None:
    config = {"api_secret": "s", "school_code": "x"}
    result = invoke(tmp_path, "--test=schema", config=config)
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    assert [message["stream"] for message in messages] == STREAMS
    assert {message["type"] for message in messages} == {"SCHEMA"}
