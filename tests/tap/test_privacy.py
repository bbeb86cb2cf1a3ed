"""No secret and no personal data in a log line or an exception, whatever the service sends.

The faults are those of the fault matrix, in every phase, once and every time. Here every part of a
response that can have text has sentinels: status line, headers, messages, keys, rows, other bodies.
"""

from __future__ import annotations

import json
import logging
from contextlib import redirect_stdout
from datetime import timedelta
from functools import cache
from io import BytesIO, TextIOWrapper
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import AccessDeniedError, CampusGroupsError, StreamsFailedError
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, FailQuery, JsonBody, Phase, Redirect, Simulator, Status
from tests.support.exports import NAMES
from tests.support.fault_cases import FAULT_CASES, PERSON, PHASES, close_leaked_sockets
from tests.support.harness import (
    NEWEST,
    catalog_of,
    environment_for,
    invoke,
    settings_for,
    sync,
    time_out_when_held,
)
from tests.support.leaks import NAME, SECRET, SENTINELS, LeakyFault, LogLines, leaks_in, texts_of
from tests.support.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_time import FakeTime
    from tests.support.fault_cases import FaultCase

LOGGERS = ("", "tap-campusgroups", "singer_sdk", "urllib3", "requests", "backoff", "http")


@cache
def dataset() -> Dataset:
    """Return rows with sentinels as texts, as keys and as values of the wrong type."""
    made = Dataset(6, newest=NEWEST, span=timedelta(days=200))
    for stream in made.streams:
        for row in made[stream]:
            texts = [name for name, value in row.items() if isinstance(value, str)]
            numbers = [name for name, value in row.items() if type(value) is int]
            odd = {*texts, *numbers[:3]} - {"id", "updatedOn"}
            row.update(dict.fromkeys(odd, SENTINELS))
            row.update({PERSON: PERSON, NAME: {SECRET: NAME}, "shoeSize": SENTINELS})
    made.freeze()
    return made


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """A service on fake time with sentinels in its rows and its secret."""
    with Simulator(dataset(), api_secret=SECRET, clock=fake_time.monotonic) as simulator:
        yield simulator


# What is logged and raised


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[LogLines]:
    """Everything that any library logs."""
    # `caplog` itself is not enough: pytest resets its level at the start of a test.
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    handler = LogLines()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def assert_nothing_leaked(log: LogLines, *errors: BaseException | None) -> None:
    """Check that neither the log nor an exception has a sentinel."""
    assert any('"POST /data/v1/' in line for line in log.lines)  # so urllib3's lines are included
    assert leaks_in(log.lines) == []
    for error in (*errors, *log.errors):
        assert error is None or leaks_in(texts_of(error)) == []


# Faults

WITHOUT_FAULT = "academic_experiences"
ONCE = ("badges", "budgets", "checkins", "events")
ALWAYS = ("groups", "members", "payments", "rooms")
"""Streams with a fault in one phase each, once or every time.

The stream without a fault comes first, because a 401 on the first request ends the run.
"""


def parameters(case: FaultCase) -> Any:
    """Return a test of a case; urllib3 leaves the sockets of some responses open."""
    ignored = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
    return pytest.param(case, id=case.name, marks=[ignored] * case.leaks_socket)


@pytest.mark.parametrize("case", [parameters(case) for case in FAULT_CASES])
def test_run_with_fault_leaks_nothing(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, log: LogLines, case: FaultCase
) -> None:
    if case.hangs:
        time_out_when_held(simulator, monkeypatch)
    simulator.timing.queued_polls = dict.fromkeys((*ONCE, *ALWAYS), 2)
    faults = [
        simulator.inject(LeakyFault(case.fault_type).on(stream, phase, times=times))
        for streams, times in ((ONCE, 1), (ALWAYS, 2 if case.hangs else None))
        for stream, phase in zip(streams, PHASES, strict=True)
        if phase in case.expected
    ]
    output = sync(settings_for(simulator, page_size=2), WITHOUT_FAULT, *ONCE, *ALWAYS)
    assert all(fault.fired for fault in faults)
    assert_nothing_leaked(log, output.error)
    if isinstance(output.error, StreamsFailedError):
        assert log.errors  # those of the single streams
    assert PERSON in json.dumps(output.records[WITHOUT_FAULT])  # where it belongs
    if case.leaks_socket:
        log.errors.clear()
        close_leaked_sockets(output.error)


# Rows

ROW = {"id": 1, "updatedOn": "2025-06-01T00:00:00Z"}


@pytest.mark.parametrize(
    "rows",
    [
        [ROW | {"updatedOn": SENTINELS}],
        [ROW | {"id": PERSON}],
        [ROW | {"id": None, "name": NAME}],
        [{PERSON: PERSON}],
        [SENTINELS],
        [[ROW, SENTINELS]],
        SENTINELS,
        {PERSON: SENTINELS},
        [
            ROW
            | {"name": {PERSON: SENTINELS}, "tags": SENTINELS, "draft": NAME, "capacity": [SECRET]}
        ],
        [ROW | {"tags": [{PERSON: SENTINELS, "id": NAME}, SENTINELS]}],
        [ROW | {"name": f"{SENTINELS} \ud83d"}],
    ],
    ids=lambda rows: json.dumps(rows)[:60],
)
@pytest.mark.parametrize("unknown_fields", ["capture", "fail"])
@pytest.mark.parametrize("extra", [{}, {"stream_maps": {"events": {"more": "1"}}}], ids=["", "map"])
def test_run_with_malformed_rows_leaks_nothing(
    simulator: Simulator, log: LogLines, rows: object, unknown_fields: str, extra: dict[str, Any]
) -> None:
    simulator.inject(JsonBody({"Results": rows}).on("events", "first_page"))
    config = settings_for(simulator, unknown_fields=unknown_fields, **extra)
    output = sync(config, "events")
    assert output.error is None or isinstance(output.error, CampusGroupsError)
    assert_nothing_leaked(log, output.error)


@pytest.mark.parametrize("name", [PERSON, NAME, "zoe.sentinelova", SECRET])
@pytest.mark.parametrize("unknown_fields", ["capture", "fail"])
def test_field_names_with_personal_data_are_not_logged(
    simulator: Simulator, log: LogLines, name: str, unknown_fields: str
) -> None:
    rows = [ROW | {name: 1, "tags": [{name: 1}]}]
    simulator.inject(JsonBody({"Results": rows, name: 1}).on("events", "first_page"))
    simulator.inject(JsonBody({name: 1}).on("events", "first_page"))
    config = settings_for(simulator, unknown_fields=unknown_fields)
    errors = [sync(config, "events").error for _ in range(2)]
    assert errors.count(None) == (unknown_fields == "capture")
    assert_nothing_leaked(log, *errors)


@pytest.mark.parametrize(
    ("field", "expression", "fails"),
    [
        ("more", "int(name)", True),
        ("more", "name.nothing", True),
        ("__filter__", "name or description", False),
    ],
)
def test_stream_map_does_not_log_the_row(
    simulator: Simulator, log: LogLines, field: str, expression: str, *, fails: bool
) -> None:
    maps = {"events": {field: expression}}
    output = sync(settings_for(simulator, stream_maps=maps), "events")
    assert (output.error is not None) is fails
    assert_nothing_leaked(log, output.error)


# The secret


@pytest.mark.parametrize("code", [401, 403])
def test_denied_secret_is_not_logged(simulator: Simulator, log: LogLines, code: int) -> None:
    simulator.inject(LeakyFault(Status(code, f"No such key: {SECRET}")).on(times=None))
    output = sync(settings_for(simulator))
    assert isinstance(output.error, AccessDeniedError)
    assert_nothing_leaked(log, output.error)


def test_connection_test_with_fault_leaks_nothing(simulator: Simulator, log: LogLines) -> None:
    for kind in (Status(403), FailQuery(), Redirect(f"https://{PERSON}/"), JsonBody([])):
        simulator.clear_faults()
        simulator.inject(LeakyFault(kind).on("badges", times=None))
        tap = TapCampusGroups(config=settings_for(simulator))
        with pytest.raises(CampusGroupsError) as caught, redirect_stdout(TextIOWrapper(BytesIO())):
            tap.run_connection_test()
        assert_nothing_leaked(log, caught.value)


@pytest.mark.parametrize("code", [300, 301, 302, 303, 307, 308])
def test_redirect_is_not_followed(simulator: Simulator, code: int) -> None:
    simulator.timing.queued_polls = 1
    with Simulator(Dataset(1, newest=NEWEST), api_secret=SECRET) as elsewhere:
        for location in (f"{elsewhere.url}/events", elsewhere.url.removeprefix("http:"), "/"):
            simulator.clear_faults()
            for stream, phase in zip(ONCE, PHASES, strict=True):
                simulator.inject(Redirect(location, code).on(stream, phase, times=None))
            output = sync(settings_for(simulator, page_size=2), *ONCE)
            assert str(output.error).startswith("4 of 4 streams failed: ")
        assert elsewhere.requests == []
    redirected = [request for request in simulator.requests if request.status == code]
    assert len(redirected) == 3 * len(ONCE)
    assert {request.path for request in simulator.requests} == {
        f"/data/v1/{stream}" for stream in ONCE
    }


# Processes

LOGGING = """
version: 1
disable_existing_loggers: false
formatters:
  console: {(): singer_sdk.logging.ConsoleFormatter}
  structured: {(): singer_sdk.logging.StructuredFormatter}
handlers:
  console: {class: logging.StreamHandler, formatter: console, stream: ext://sys.stderr}
  structured: {class: logging.StreamHandler, formatter: structured, stream: ext://sys.stderr}
root: {level: DEBUG, handlers: [console, structured]}
"""


def test_process_with_faults_leaks_nothing(tmp_path: Path) -> None:
    first, *streams = NAMES
    phases: Iterator[Phase] = cycle(("submit", "first_page"))
    cases = [case for case in FAULT_CASES if not case.hangs]
    with Simulator(dataset(), api_secret=SECRET) as simulator:
        for stream, case in zip(streams, cases[::2], strict=False):
            simulator.inject(LeakyFault(case.fault_type, retry_after="0").on(stream, next(phases)))
        (tmp_path / "logging.yaml").write_text(LOGGING)
        settings = {"page_size": 2, "max_concurrent_exports": 32, "loglevel": "DEBUG"}
        done = run(
            *("--config", "ENV"),
            SINGER_SDK_LOG_CONFIG=str(tmp_path / "logging.yaml"),
            **environment_for(simulator, **settings),
        )
    assert done.returncode == 1
    assert '"POST /data/v1/' in done.stderr
    assert '{"level":"debug"' in done.stderr
    assert leaks_in(done.stderr.splitlines()) == []
    assert f'"stream":"{first}","record":' in done.stdout
    assert PERSON in done.stdout


# BATCH, which bypasses stream maps and so masking


def test_batch_config_in_the_environment_is_ignored(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file it is not a known setting."""
    encoding = {"format": "jsonl", "compression": "gzip"}
    batch = {"encoding": encoding, "storage": {"root": tmp_path.as_uri()}}
    for name, value in environment_for(simulator, batch_config=json.dumps(batch)).items():
        monkeypatch.setenv(name, value)
    catalog = catalog_of(["tags"])
    assert "batch" not in json.dumps(catalog).lower()
    done = invoke(tmp_path, "--config", "ENV", catalog=catalog)
    kinds = {json.loads(line)["type"] for line in done.stdout.splitlines()}
    assert kinds == {"SCHEMA", "RECORD", "STATE"}
