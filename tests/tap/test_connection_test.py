"""`--test`: which streams the secret may read, by one small export of each, in seconds."""

from __future__ import annotations

import json
import logging
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, Simulator, Status
from tests.support.harness import NEWEST, catalog_of, settings_for
from tests.support.processes import errors, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from tests.support.fake_time import FakeTime

STREAMS = sorted(Dataset(0, newest=NEWEST).streams)


@pytest.fixture
def service() -> Iterator[Simulator]:
    """A service whose exports are queued, then run."""
    with Simulator(Dataset(30, newest=NEWEST), queued_polls=1, running_polls=1) as simulator:
        yield simulator


def check(tmp_path: Path, config: dict[str, Any], *arguments: str, catalog: Any = None) -> Result:
    """Run `tap-campusgroups --config ... [--catalog ...] --test` in this process."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    options = ["--config", str(tmp_path / "config.json")]
    if catalog is not None:
        (tmp_path / "catalog.json").write_text(json.dumps(catalog))
        options += ["--catalog", str(tmp_path / "catalog.json")]
    command = TapCampusGroups.get_singer_command()
    return CliRunner().invoke(command, [*options, *(arguments or ["--test"])])


def verdicts(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Read the table of the check."""
    (record,) = (r for r in caplog.records if r.getMessage().startswith("Check: "))
    lines = (line.split(maxsplit=1) for line in record.getMessage().splitlines()[1:])
    return {stream: verdict.strip() for stream, verdict in lines}


@pytest.mark.usefixtures("impatient")
def test_all_may_be_read(
    tmp_path: Path, service: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    result = check(tmp_path, settings_for(service))
    assert (result.exit_code, result.stdout) == (0, "")
    assert verdicts(caplog) == dict.fromkeys(STREAMS, "may be read")
    assert "Check: the secret may read 23 of 23 streams (" in caplog.text
    (record,) = (r for r in caplog.records if hasattr(r, "readable"))
    assert (record.readable, record.unreadable) == (STREAMS, [])  # type: ignore[attr-defined]


@pytest.mark.usefixtures("impatient")
def test_each_export_asks_for_one_hour_that_the_lake_has(
    tmp_path: Path, service: Simulator
) -> None:
    before = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=50)
    check(tmp_path, settings_for(service, lookback_hours=50))
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
def test_what_is_deselected_is_not_asked_for(
    tmp_path: Path, service: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    result = check(tmp_path, settings_for(service), catalog=catalog_of(["events", "rooms"]))
    assert result.exit_code == 0
    assert verdicts(caplog) == dict.fromkeys(["events", "rooms"], "may be read")
    assert {request.stream for request in service.requests} == {"events", "rooms"}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("status", "streams"),
    [
        (403, ["payments", "users"]),
        (403, STREAMS[:2]),
        (404, ["payments", "users"]),
        (404, STREAMS[:2]),
        (500, ["payments", "users"]),
    ],
)
def test_some_may_not_be_read(
    tmp_path: Path,
    service: Simulator,
    caplog: pytest.LogCaptureFixture,
    status: int,
    streams: list[str],
) -> None:
    for stream in streams:
        service.inject(Status(status).on(stream, "submit", times=None))
    result = check(tmp_path, settings_for(service))
    assert result.exit_code == 1
    assert (
        "2 of 23 streams cannot be read: " + ", ".join(streams) + ". The lines above say why. "
        "Deselect them, or ask CampusGroups what the key may read."
    ) in caplog.messages[-1]
    found = verdicts(caplog)
    assert [stream for stream in STREAMS if found[stream] != "may be read"] == streams
    assert all(f"HTTP {status}" in found[stream] for stream in streams)


def test_a_wrong_secret_is_one_request_and_one_line(service: Simulator) -> None:
    config = settings_for(service, api_secret="not-the-secret")  # noqa: S106 - nobody's
    done = run("--config", "ENV", "--test", **environment(config))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = errors(done)
    assert "the service refuses access (HTTP 401" in line
    assert "Check api_secret and school_code" in line
    assert len(service.requests) == 1
    assert "not-the-secret" not in done.stderr


@pytest.mark.usefixtures("impatient")
def test_a_secret_that_may_read_nothing(
    tmp_path: Path, service: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    service.inject(Status(403).on(None, "submit", times=None))
    assert check(tmp_path, settings_for(service)).exit_code == 1
    assert "Check: the secret may read 0 of 23 streams" in caplog.text
    assert len(service.requests) == 23


def environment(config: dict[str, Any]) -> dict[str, str]:
    """Write a config as variables."""
    return {f"TAP_CAMPUSGROUPS_{name.upper()}": str(value) for name, value in config.items()}


def unknown_host(*_: object, **__: object) -> list[Any]:
    """Stand in for the resolver, when a name has no address."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_wrong_school_takes_seconds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fake_time: FakeTime,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown_host)
    result = check(tmp_path, {"api_secret": "s", "school_code": "no-such-school"})
    assert result.exit_code == 1
    assert caplog.messages[-1] == (
        "Stream 'academic_experiences': gave up after 2 tries of POST /academic_experiences: "
        "ConnectionError (NameResolutionError) on the way to the service. Check the network, "
        "school_code and api_url."
    )
    assert sum(fake_time.slept) < 3


def test_nobody_there_takes_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fake_time: FakeTime
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/data/v1"
        result = check(tmp_path, {"api_secret": "s", "school_code": "x", "api_url": url})
    assert result.exit_code == 1
    assert "gave up after 2 tries" in caplog.messages[-1]
    assert sum(fake_time.slept) < 3


def test_a_slow_export_is_accepted_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fake_time: FakeTime
) -> None:
    with Simulator(Dataset(3, newest=NEWEST), running_polls=10_000) as service:
        result = check(tmp_path, settings_for(service), catalog=catalog_of(["events"]))
    assert result.exit_code == 0
    assert verdicts(caplog) == {"events": "may be read; its export has not run within 15 s"}
    assert 15 <= sum(fake_time.slept) < 16


def test_a_busy_service_is_not_waited_for_for_minutes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fake_time: FakeTime
) -> None:
    with Simulator(Dataset(3, newest=NEWEST)) as service:
        busy = Status(503, headers={"Retry-After": "300"})
        service.inject(busy.on("events", "submit", times=None))
        result = check(tmp_path, settings_for(service), catalog=catalog_of(["events"]))
    assert result.exit_code == 1
    assert "HTTP 503" in caplog.messages[-1]
    assert sum(fake_time.slept) < 6


def test_the_schemas_are_the_sdk_s_as_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"api_secret": "s", "school_code": "x"}
    result = check(tmp_path, config, "--test=schema")
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    assert [message["stream"] for message in messages] == STREAMS
    assert {message["type"] for message in messages} == {"SCHEMA"}
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


def test_the_help_says_what_it_does(tmp_path: Path) -> None:
    text = " ".join(check(tmp_path, {}, "--help").stdout.split())
    assert "a small export of each selected stream to check access" in text
    assert "sync a single record" not in text
