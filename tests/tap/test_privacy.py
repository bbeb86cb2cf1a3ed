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
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.helpers.capabilities import PluginCapabilities

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportFailedError,
    SettingsError,
)
from tap_campusgroups.sync import SyncRun
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import (
    Dataset,
    FailQuery,
    JsonBody,
    Phase,
    Redirect,
    Simulator,
    Status,
)
from tests.support.exports import NAMES
from tests.support.fault_cases import (
    FAULT_CASES,
    PERSON,
    PHASES,
    close_leaked_sockets,
)
from tests.support.harness import NEWEST, catalog_of, settings_for, sync, time_out_when_held
from tests.support.leaks import (
    MARK,
    NAME,
    SECRET,
    SENTINELS,
    LeakyFault,
    LogLines,
    leaks_in,
    texts_of,
)
from tests.support.processes import errors, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tap_campusgroups.client import CampusGroupsStream
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


def test_leak_in_any_part_of_a_log_or_an_exception_is_found(log: LogLines) -> None:
    def fail() -> None:
        try:
            int(PERSON)
        except ValueError:
            msg = "nothing"
            raise CampusGroupsError(msg) from None

    with pytest.raises(CampusGroupsError) as caught:
        fail()
    assert MARK not in str(caught.value)
    assert leaks_in(texts_of(caught.value))
    noted = CampusGroupsError("nothing")
    noted.add_note(SECRET)
    assert leaks_in(texts_of(noted))
    assert leaks_in(texts_of(CampusGroupsError("nothing", ValueError(SECRET))))
    logging.getLogger("urllib3.connectionpool").debug("of %s", NAME)
    assert len(leaks_in(log.lines)) == 2
    logging.getLogger("tap-campusgroups").info("with figures", extra={"who": PERSON})
    assert len(leaks_in(log.lines)) == 3


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The errors of streams; the error of a run with several failed streams is another one."""
    noted: list[BaseException] = []
    should_continue_after = SyncRun.should_continue_after

    def note(run: SyncRun, stream: CampusGroupsStream, error: CampusGroupsError) -> bool:
        noted.append(error)
        return should_continue_after(run, stream, error)

    monkeypatch.setattr(SyncRun, "should_continue_after", note)
    return noted


def assert_nothing_leaked(log: LogLines, failures: Iterable[BaseException | None]) -> None:
    """Check that neither the log nor an exception has a sentinel."""
    assert any('"POST /data/v1/' in line for line in log.lines)  # so urllib3's lines are included
    assert leaks_in(log.lines) == []
    for error in failures:
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
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    log: LogLines,
    failures: list[BaseException],
    case: FaultCase,
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
    assert_nothing_leaked(log, [*failures, output.error])
    assert PERSON in json.dumps(output.records[WITHOUT_FAULT])  # where it belongs
    if case.leaks_socket:
        failures.clear()
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
    simulator: Simulator,
    log: LogLines,
    failures: list[BaseException],
    rows: object,
    unknown_fields: str,
    extra: dict[str, Any],
) -> None:
    simulator.inject(JsonBody({"Results": rows}).on("events", "first_page"))
    config = settings_for(simulator, unknown_fields=unknown_fields, **extra)
    output = sync(config, "events")
    assert output.error is None or isinstance(output.error, CampusGroupsError)
    assert_nothing_leaked(log, [*failures, output.error])


@pytest.mark.parametrize(
    "name", [PERSON, NAME, "zoesentinel.sentinelova@sentinel.example", "zoe.sentinelova", SECRET]
)
@pytest.mark.parametrize("unknown_fields", ["capture", "fail"])
def test_field_names_with_personal_data_are_not_logged(
    simulator: Simulator,
    log: LogLines,
    failures: list[BaseException],
    name: str,
    unknown_fields: str,
) -> None:
    rows = [ROW | {name: 1, "tags": [{name: 1}]}]
    simulator.inject(JsonBody({"Results": rows, name: 1}).on("events", "first_page"))
    simulator.inject(JsonBody({name: 1}).on("events", "first_page"))
    for _ in range(2):
        sync(settings_for(simulator, unknown_fields=unknown_fields), "events")
    assert len(failures) == 2 - (unknown_fields == "capture")
    assert_nothing_leaked(log, failures)


@pytest.mark.parametrize(
    "expression", ["int(name)", "float(name)", "1 / len(name[:0])", "name.nothing", "undefined"]
)
def test_failing_stream_map_does_not_log_the_row(
    simulator: Simulator, log: LogLines, expression: str
) -> None:
    maps = {"events": {"more": expression}}
    output = sync(settings_for(simulator, stream_maps=maps), "events")
    assert output.error is not None
    assert_nothing_leaked(log, [output.error])


def test_stream_map_filter_does_not_log_the_row(simulator: Simulator, log: LogLines) -> None:
    maps = {"events": {"__filter__": "name or description"}}
    output = sync(settings_for(simulator, stream_maps=maps), "events")
    assert output.error is None
    assert_nothing_leaked(log, [])


# The secret


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_secret": [SECRET]},
        {"api_secret": {"is": SECRET}},
        {"api_secret": f"{SECRET}\n"},
        {"api_secret": f" {SECRET}"},
        {"api_secret": f"{SECRET}\u00e9"},
        {"api_secret": SECRET, "school_code": f"{SECRET}/"},
        {"api_secret": SECRET, "api_url": f"https://me:{SECRET}@service.example/"},
        {"api_secret": SECRET, "api_url": f"http://service.example/?key={SECRET}"},
        {"api_secret": SECRET, "user_agent": f"{SECRET}\n"},
        {"api_secret": SECRET, "page_size": 0},
    ],
    ids=repr,
)
def test_error_about_invalid_settings_does_not_quote_the_secret(
    simulator: Simulator, log: LogLines, wrong: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError) as caught:
        TapCampusGroups(config=settings_for(simulator) | wrong)
    assert "\n" not in str(caught.value)
    assert leaks_in(log.lines) == []
    assert leaks_in(texts_of(caught.value)) == []


@pytest.mark.parametrize("code", [401, 403])
def test_denied_secret_is_not_logged(simulator: Simulator, log: LogLines, code: int) -> None:
    simulator.inject(LeakyFault(Status(code, f"No such key: {SECRET}")).on(times=None))
    output = sync(settings_for(simulator))
    assert isinstance(output.error, AccessDeniedError)
    assert_nothing_leaked(log, [output.error])


def test_connection_test_with_fault_leaks_nothing(simulator: Simulator, log: LogLines) -> None:
    for kind in (Status(403), FailQuery(), Redirect(f"https://{PERSON}/"), JsonBody([])):
        simulator.clear_faults()
        simulator.inject(LeakyFault(kind).on("badges", times=None))
        tap = TapCampusGroups(config=settings_for(simulator))
        with pytest.raises(CampusGroupsError) as caught, redirect_stdout(TextIOWrapper(BytesIO())):
            tap.run_connection_test()
        assert_nothing_leaked(log, [caught.value])


@pytest.mark.parametrize("code", [300, 301, 302, 303, 307, 308])
def test_redirect_is_not_followed(
    simulator: Simulator, failures: list[BaseException], code: int
) -> None:
    simulator.timing.queued_polls = 1
    with Simulator(Dataset(1, newest=NEWEST), api_secret=SECRET) as elsewhere:
        for location in (f"{elsewhere.url}/events", elsewhere.url.removeprefix("http:"), "/"):
            simulator.clear_faults()
            for stream, phase in zip(ONCE, PHASES, strict=True):
                simulator.inject(Redirect(location, code).on(stream, phase, times=None))
            sync(settings_for(simulator, page_size=2), *ONCE)
        assert elsewhere.requests == []
    assert len(failures) == 3 * len(ONCE)
    assert all(isinstance(error, ExportFailedError) for error in failures)
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


@pytest.mark.parametrize(("half", "phase"), [(0, "submit"), (1, "first_page")])
def test_process_with_faults_leaks_nothing(tmp_path: Path, half: int, phase: Phase) -> None:
    first, *streams = NAMES
    # Without the cases that wait, whatever the headers say.
    cases = [
        case
        for case in FAULT_CASES
        if not case.hangs and case.retry_after is None and phase in case.expected
    ]
    with Simulator(dataset(), api_secret=SECRET) as simulator:
        for stream, case in zip(streams, cases[half::2], strict=False):
            simulator.inject(LeakyFault(case.fault_type, retry_after="0").on(stream, phase))
        settings = settings_for(simulator, page_size=2, max_concurrent_exports=32)
        (tmp_path / "config.json").write_text(json.dumps(settings))
        (tmp_path / "logging.yaml").write_text(LOGGING)
        done = run(
            *("--config", tmp_path / "config.json"),
            TAP_CAMPUSGROUPS_LOGLEVEL="DEBUG",
            SINGER_SDK_LOG_CONFIG=str(tmp_path / "logging.yaml"),
        )
    assert done.returncode == 1
    assert '"POST /data/v1/' in done.stderr
    assert '{"level":"debug"' in done.stderr
    assert leaks_in(done.stderr.splitlines()) == []
    assert f'"stream":"{first}","record":' in done.stdout
    assert PERSON in done.stdout


# BATCH

BATCH = {
    "batch_config": {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": "file:///tmp/batches"},
    }
}


def test_batch_is_not_advertised() -> None:
    assert PluginCapabilities.BATCH not in TapCampusGroups.capabilities
    about = json.loads(run("--about", "--format", "json").stdout)
    assert "batch" not in about["capabilities"]
    assert "batch_config" not in about["settings"]["properties"]
    assert "batch" not in json.dumps(TapCampusGroups(validate_config=False).catalog_dict).lower()


def test_batch_config_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with Simulator(dataset(), api_secret=SECRET) as simulator:
        path.write_text(json.dumps(settings_for(simulator) | BATCH))
        done = run("--config", path)
        assert simulator.requests == []
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = errors(done)
    assert "Invalid settings: " in line
    assert "batch_config" in line
    with pytest.raises(SettingsError, match="batch_config"):
        TapCampusGroups(config=settings_for(simulator) | BATCH)


def test_batch_config_in_the_environment_is_ignored(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_CAMPUSGROUPS_BATCH_CONFIG", json.dumps(BATCH["batch_config"]))
    for name, value in settings_for(simulator).items():
        monkeypatch.setenv(f"TAP_CAMPUSGROUPS_{name.upper()}", value)
    written = BytesIO()
    with redirect_stdout(TextIOWrapper(written, write_through=True)):
        TapCampusGroups(parse_env_config=True, catalog=catalog_of(["tags"])).sync_all()
        kinds = {json.loads(line)["type"] for line in written.getvalue().splitlines()}
    assert kinds == {"SCHEMA", "RECORD", "STATE"}
