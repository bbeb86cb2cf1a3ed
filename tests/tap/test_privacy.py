"""No secret and no person's data in a log or an exception, whatever the service says and does.

The faults are those of test_fault_matrix.py, each in every phase, once and for good. Here all that
an answer has tells of a student and of the secret: status line, headers, messages, names of keys,
rows, bodies that are none.
"""

from __future__ import annotations

import json
import logging
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.logging import ConsoleFormatter, StructuredFormatter

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportFailedError,
    SettingsError,
)
from tap_campusgroups.sync import SyncRun
from tap_campusgroups.tap import TapCampusGroups
from tests.exports.test_fault_matrix import (
    AGAIN,
    DENIED,
    FATAL,
    MATRIX,
    NEVER,
    PERSON,
    PHASES,
    STREAMS,
    let_go,
    only,
)
from tests.simulator import (
    Dataset,
    FailQuery,
    FaultType,
    JsonBody,
    Phase,
    Redirect,
    Simulator,
    Status,
)
from tests.simulator.responses import CompleteResponse, TruncatedResponse
from tests.support.harness import NEWEST, catalog_of, settings_for, sync, time_out_when_held
from tests.support.processes import errors, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tap_campusgroups.client import CampusGroupsStream
    from tests.exports.test_fault_matrix import Row
    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Connection, Response
    from tests.support.fake_time import FakeTime

SECRET = "7f3a-sentinel-secret"  # noqa: S105 - what must not be told
NAME = "Zoe Sentinelova"
MARK = "sentinel"
"""In each part of the secret, the address and the name."""

TOLD = f"{PERSON} ({NAME}), key {SECRET}"
LOGGERS = ("", "tap-campusgroups", "singer_sdk", "urllib3", "requests", "backoff", "http")


# -- a service that tells everything -------------------------------------------------------------


def told(value: Any) -> Any:
    """Put the sentinels into a JSON body, without changing what it means."""
    match value:
        case dict():
            if isinstance(value.get("message"), str):
                value = value | {"message": f"{value['message']}: {TOLD}"}
            return value | {PERSON: TOLD, NAME: {SECRET: TOLD}}
        case list():
            return [*value, TOLD]
    return value


def tell(answer: CompleteResponse) -> CompleteResponse:
    """Put the sentinels into the body of an answer."""
    try:
        body = json.dumps(told(json.loads(answer.body))).encode()
    except (ValueError, RecursionError):
        body = answer.body + TOLD.encode()
    return replace(answer, body=body)


@dataclass(frozen=True)
class TellingWire:
    """A connection that puts the sentinels into the head of every answer."""

    connection: Connection
    headers: Mapping[str, str]

    def format_head(self, status: int, headers: Mapping[str, str]) -> bytes:
        """Begin an answer with a reason and headers of its own."""
        head = self.connection.format_head(status, {**self.headers, **headers})
        line, _, rest = head.partition(b"\r\n")
        return line + f" {TOLD}".encode() + b"\r\n" + rest

    def send(self, head: bytes, body: bytes) -> None:
        """Send as it is."""
        self.connection.send(head, body)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def reset(self) -> None:
        """Reset the connection."""
        self.connection.reset()

    def hold(self) -> bool:
        """Wait for the simulator's release."""
        return self.connection.hold()

    def pause(self, seconds: float) -> bool:
        """Wait so long."""
        return self.connection.pause(seconds)


@dataclass(frozen=True)
class Told:
    """An outcome, told."""

    outcome: Response
    headers: Mapping[str, str]

    @property
    def status(self) -> int | None:
        """The HTTP status that the client sees."""
        return self.outcome.status

    def send(self, connection: Connection) -> None:
        """Send it over a connection that tells."""
        self.outcome.send(TellingWire(connection, self.headers))


HEADERS = {
    "X-Debug": TOLD,
    "X-Echo-Secret": SECRET,
    "Set-Cookie": f"user={PERSON}; expires={NAME}",
    "ETag": f'"{PERSON}"',
    "Retry-After": NAME,
}


@dataclass(frozen=True)
class Telling(FaultType):
    """A fault, and the sentinels wherever it leaves room for them."""

    kind: FaultType
    retry_after: str = NAME

    def applies(self, context: RequestContext) -> bool:
        """Apply to what the fault applies to."""
        return self.kind.applies(context)

    def respond(self, context: RequestContext) -> Response:
        """Tell what the fault would have kept to itself."""
        outcome = self.kind.respond(context)
        if context.query is not None and context.query.failure is not None:
            context.query.fail(tell(context.query.failure))
        if isinstance(outcome, CompleteResponse):
            outcome = tell(outcome)
        elif isinstance(outcome, TruncatedResponse):
            outcome = replace(outcome, complete=tell(outcome.complete))
        return Told(outcome, HEADERS | {"Retry-After": self.retry_after})


@cache
def dataset() -> Dataset:
    """Return rows in which every text is a sentinel, and so are some names and odd values."""
    made = Dataset(6, newest=NEWEST, span=timedelta(days=200))
    for stream in made.streams:
        for row in made[stream]:
            texts = [name for name, value in row.items() if isinstance(value, str)]
            numbers = [name for name, value in row.items() if type(value) is int]
            odd = {*texts, *numbers[:3]} - {"id", "updatedOn"}
            row.update(dict.fromkeys(odd, TOLD))
            row.update({PERSON: PERSON, NAME: {SECRET: NAME}, "shoeSize": TOLD})
    made.freeze()
    return made


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """The service in the tests' time, with sentinels in its rows and its secret."""
    with Simulator(dataset(), api_secret=SECRET, clock=fake_time.monotonic) as simulator:
        yield simulator


# -- who listens ---------------------------------------------------------------------------------


class Log(logging.Handler):
    """What was logged, as people and as machines read it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep both forms."""
        for formatter in (ConsoleFormatter(), StructuredFormatter()):
            self.lines += formatter.format(record).splitlines()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    """Everything that any library logs."""
    # Not what `caplog` keeps: pytest sets its level anew when a test begins.
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    listening = Log()
    logging.getLogger().addHandler(listening)
    yield listening
    logging.getLogger().removeHandler(listening)


def all_of(error: BaseException) -> list[str]:
    """List whatever an exception could ever tell: it, its notes, and all behind it."""
    texts = traceback.format_exception(error)
    seen: list[BaseException] = []
    left: list[object] = [error]
    while left:
        one = left.pop()
        if isinstance(one, BaseException) and not any(one is other for other in seen):
            seen.append(one)
            texts += [str(one), repr(one), *getattr(one, "__notes__", ())]
            # A context that is suppressed is not printed, but structured logs have it.
            left += [one.__cause__, one.__context__, *one.args]
            if isinstance(one, BaseExceptionGroup):
                left += one.exceptions
    return texts


def telling(lines: Iterable[str]) -> list[str]:
    """Pick the lines that tell too much, cut short."""
    return [
        line[max(0, line.lower().index(MARK) - 150) :][:300]
        for line in lines
        if MARK in line.lower()
    ]


def test_the_listeners_hear_everything(log: Log) -> None:
    def fail() -> None:
        try:
            int(PERSON)
        except ValueError:
            msg = "nothing"
            raise CampusGroupsError(msg) from None

    with pytest.raises(CampusGroupsError) as caught:
        fail()
    assert MARK not in str(caught.value)
    assert telling(all_of(caught.value))
    noted = CampusGroupsError("nothing")
    noted.add_note(SECRET)
    assert telling(all_of(noted))
    assert telling(all_of(CampusGroupsError("nothing", ValueError(SECRET))))
    logging.getLogger("urllib3.connectionpool").debug("of %s", NAME)
    assert len(telling(log.lines)) == 2
    logging.getLogger("tap-campusgroups").info("with figures", extra={"who": PERSON})
    assert len(telling(log.lines)) == 3


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What ended the streams of a run; the error of a run with several is another."""
    noted: list[BaseException] = []
    should_continue_after = SyncRun.should_continue_after

    def note(run: SyncRun, stream: CampusGroupsStream, error: CampusGroupsError) -> bool:
        noted.append(error)
        return should_continue_after(run, stream, error)

    monkeypatch.setattr(SyncRun, "should_continue_after", note)
    return noted


def assert_nothing_told(log: Log, failures: Iterable[BaseException | None]) -> None:
    """Make sure that neither the log nor an exception has a sentinel in it."""
    assert any('"POST /data/v1/' in line for line in log.lines)  # it is urllib3's own, too
    assert telling(log.lines) == []
    for error in failures:
        assert error is None or telling(all_of(error)) == []


# -- the matrix ----------------------------------------------------------------------------------

GOOD = "academic_experiences"
ONCE = ("badges", "budgets", "checkins", "events")
FOR_GOOD = ("groups", "members", "payments", "rooms")
"""Streams of a run: for each phase one that has a fault once, and one that has it for good; and the
first, without which a 401 would stop the run."""


def parameters(row: Row) -> Any:
    """Make a test of a row; urllib3 leaves the sockets of some answers to the collector."""
    marks = [pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")] * row.lingers
    return pytest.param(row, id=row.name, marks=marks)


@pytest.mark.parametrize("row", [parameters(row) for row in MATRIX])
def test_no_fault_makes_the_tap_tell(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    log: Log,
    failures: list[BaseException],
    row: Row,
) -> None:
    if row.hangs:
        time_out_when_held(simulator, monkeypatch)
    simulator.timing.queued_polls = dict.fromkeys((*ONCE, *FOR_GOOD), 2)
    faults = [
        simulator.inject(Telling(row.kind).on(stream, phase, times=times))
        for streams, times in ((ONCE, 1), (FOR_GOOD, 2 if row.hangs else None))
        for stream, phase, fate in zip(streams, PHASES, row.fates, strict=True)
        if fate is not NEVER
    ]
    catalog = only(GOOD, *ONCE, *FOR_GOOD)
    output = sync(settings_for(simulator, page_size=2), catalog=catalog)
    assert all(fault.fired for fault in faults)
    assert_nothing_told(log, [*failures, output.error])
    assert PERSON in json.dumps(output.records[GOOD])  # where it belongs
    if row.lingers:
        failures.clear()
        let_go(output.error)


# -- rows ----------------------------------------------------------------------------------------

ROW = {"id": 1, "updatedOn": "2025-06-01T00:00:00Z"}


@pytest.mark.parametrize(
    "rows",
    [
        [ROW | {"updatedOn": TOLD}],
        [ROW | {"id": PERSON}],
        [ROW | {"id": None, "name": NAME}],
        [{PERSON: PERSON}],
        [TOLD],
        [[ROW, TOLD]],
        TOLD,
        {PERSON: TOLD},
        [ROW | {"name": {PERSON: TOLD}, "tags": TOLD, "draft": NAME, "capacity": [SECRET]}],
        [ROW | {"tags": [{PERSON: TOLD, "id": NAME}, TOLD]}],
        [ROW | {"name": f"{TOLD} \ud83d"}],
    ],
    ids=lambda rows: json.dumps(rows)[:60],
)
@pytest.mark.parametrize("unknown_fields", ["capture", "fail"])
@pytest.mark.parametrize("extra", [{}, {"stream_maps": {"events": {"more": "1"}}}], ids=["", "map"])
def test_no_row_makes_the_tap_tell(
    simulator: Simulator,
    log: Log,
    failures: list[BaseException],
    rows: object,
    unknown_fields: str,
    extra: dict[str, Any],
) -> None:
    simulator.inject(JsonBody({"Results": rows}).on("events", "first_page"))
    config = settings_for(simulator, unknown_fields=unknown_fields, **extra)
    output = sync(config, catalog=only("events"))
    assert output.error is None or isinstance(output.error, CampusGroupsError)
    assert_nothing_told(log, [*failures, output.error])


@pytest.mark.parametrize(
    "name", [PERSON, NAME, "zoesentinel.sentinelova@sentinel.example", "zoe.sentinelova", SECRET]
)
@pytest.mark.parametrize("unknown_fields", ["capture", "fail"])
def test_no_name_of_a_field_tells_of_a_person(
    simulator: Simulator,
    log: Log,
    failures: list[BaseException],
    name: str,
    unknown_fields: str,
) -> None:
    rows = [ROW | {name: 1, "tags": [{name: 1}]}]
    simulator.inject(JsonBody({"Results": rows, name: 1}).on("events", "first_page"))
    simulator.inject(JsonBody({name: 1}).on("events", "first_page"))
    for _ in range(2):
        sync(settings_for(simulator, unknown_fields=unknown_fields), catalog=only("events"))
    assert len(failures) == 2 - (unknown_fields == "capture")
    assert_nothing_told(log, failures)


@pytest.mark.parametrize(
    "expression", ["int(name)", "float(name)", "1 / len(name[:0])", "name.nothing", "nobody"]
)
def test_no_stream_map_that_fails_tells_of_the_row(
    simulator: Simulator, log: Log, expression: str
) -> None:
    maps = {"events": {"more": expression}}
    output = sync(settings_for(simulator, stream_maps=maps), catalog=only("events"))
    assert output.error is not None
    assert_nothing_told(log, [output.error])


def test_no_filter_of_a_stream_map_tells_of_the_row(simulator: Simulator, log: Log) -> None:
    maps = {"events": {"__filter__": "name or description"}}
    output = sync(settings_for(simulator, stream_maps=maps), catalog=only("events"))
    assert output.error is None
    assert_nothing_told(log, [])


# -- the secret ----------------------------------------------------------------------------------


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
def test_bad_settings_do_not_tell_the_secret(
    simulator: Simulator, log: Log, wrong: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError) as caught:
        TapCampusGroups(config=settings_for(simulator) | wrong)
    assert "\n" not in str(caught.value)
    assert telling(log.lines) == []
    assert telling(all_of(caught.value)) == []


@pytest.mark.parametrize("code", [401, 403])
def test_a_secret_that_is_refused_is_not_told(simulator: Simulator, log: Log, code: int) -> None:
    simulator.inject(Telling(Status(code, f"No such key: {SECRET}")).on(times=None))
    output = sync(settings_for(simulator))
    assert isinstance(output.error, AccessDeniedError)
    assert_nothing_told(log, [output.error])


def test_a_connection_test_does_not_tell(simulator: Simulator, log: Log) -> None:
    for kind in (Status(403), FailQuery(), Redirect(f"https://{PERSON}/"), JsonBody([])):
        simulator.clear_faults()
        simulator.inject(Telling(kind).on("badges", times=None))
        tap = TapCampusGroups(config=settings_for(simulator))
        with pytest.raises(CampusGroupsError) as caught, redirect_stdout(TextIOWrapper(BytesIO())):
            tap.run_connection_test()
        assert_nothing_told(log, [caught.value])


@pytest.mark.parametrize("code", [300, 301, 302, 303, 307, 308])
def test_a_redirect_takes_nothing_elsewhere(
    simulator: Simulator, failures: list[BaseException], code: int
) -> None:
    simulator.timing.queued_polls = 1
    with Simulator(Dataset(1, newest=NEWEST), api_secret=SECRET) as elsewhere:
        for location in (f"{elsewhere.url}/events", elsewhere.url.removeprefix("http:"), "/"):
            simulator.clear_faults()
            for stream, phase in zip(ONCE, PHASES, strict=True):
                simulator.inject(Redirect(location, code).on(stream, phase, times=None))
            sync(settings_for(simulator, page_size=2), catalog=only(*ONCE))
        assert elsewhere.requests == []
    assert len(failures) == 3 * len(ONCE)
    assert all(isinstance(error, ExportFailedError) for error in failures)
    redirected = [request for request in simulator.requests if request.status == code]
    assert len(redirected) == 3 * len(ONCE)
    assert {request.path for request in simulator.requests} == {
        f"/data/v1/{stream}" for stream in ONCE
    }


# -- processes -----------------------------------------------------------------------------------

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
def test_no_fault_makes_a_process_tell(tmp_path: Path, half: int, phase: Phase) -> None:
    first, *streams = STREAMS
    place = PHASES.index(phase)
    # None of those that take their time, whatever the headers say.
    rows = [
        row
        for row in MATRIX
        if not row.hangs and row.wait is None and row.fates[place] is not NEVER
    ]
    with Simulator(dataset(), api_secret=SECRET) as simulator:
        for stream, row in zip(streams, rows[half::2], strict=False):
            is_quick = row.fates[place] in {AGAIN, DENIED, FATAL}
            fault = Telling(row.kind, retry_after="0")
            simulator.inject(fault.on(stream, phase, times=None if is_quick else 1))
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
    assert telling(done.stderr.splitlines()) == []
    assert f'"stream":"{first}","record":' in done.stdout
    assert PERSON in done.stdout


# -- BATCH ---------------------------------------------------------------------------------------

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


def test_batch_is_refused_in_one_line(tmp_path: Path) -> None:
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


def test_batch_has_no_way_in_through_the_environment(
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
