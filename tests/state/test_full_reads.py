"""Full reads (FULL_TABLE): versions of records, and when a target may remove the other rows."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_campusgroups.config import EARLIEST
from tap_campusgroups.exceptions import CampusGroupsError
from tap_campusgroups.exports import service_monitor
from tap_campusgroups.full_reads import MARGIN
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, FailQuery, FaultType, JsonBody, Simulator, Status
from tests.support import messages
from tests.support.harness import (
    NEWEST,
    STARTED,
    canonical,
    catalog_of,
    each_path,
    only,
    read_in_full,
    settings_for,
    state_of,
    sync,
)
from tests.support.notify import CallAtRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tap_campusgroups.state import FullRead
    from tests.simulator import Row
    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Response
    from tests.support.harness import Output

FULL, OTHER = "events", "rooms"
"""A stream that is read in full, and an incremental one after it."""

VERSION = int(STARTED.timestamp())
LAST: FullRead = {"rows": 5, "start": canonical(EARLIEST), "version": 1_700_000_000}


@dataclass
class Clocks:
    """The clocks of the machine and of the service."""

    local: datetime = STARTED
    service: datetime = STARTED

    def advance(self, *, local: timedelta, service: timedelta) -> None:
        """Move both clocks."""
        self.local += local
        self.service += service


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Replace the tap's clock; `simulator` has the other one."""
    clocks = Clocks()
    monkeypatch.setattr(service_monitor, "utc_now", lambda: clocks.local)
    return clocks


@pytest.fixture
def simulator(clocks: Clocks) -> Iterator[Simulator]:
    """A service with 5 rows per stream and a clock."""
    with Simulator(Dataset(5, newest=NEWEST), now=lambda: clocks.service) as simulator:
        yield simulator


def full_read(
    simulator: Simulator, *, last: Mapping[str, Any] | None = None, **settings: Any
) -> Output:
    """Read one stream in full, and another one incrementally."""
    catalog = read_in_full(only(FULL, OTHER), FULL)
    state = {"bookmarks": {FULL: {"full_read": last}}} if last else {}
    return sync(settings_for(simulator, **settings), FULL, OTHER, catalog=catalog, state=state)


def remembered(output: Output) -> FullRead | None:
    """Return the last complete full read in the last state."""
    found: FullRead | None = output.states[-1]["bookmarks"].get(FULL, {}).get("full_read")
    return found


def activated(output: Output) -> dict[str, int]:
    """Return the activated version by stream."""
    return {one["stream"]: one["version"] for one in output.of_type("ACTIVATE_VERSION")}


# A complete read


@each_path
def test_complete_full_read_activates_the_version_of_its_records(
    simulator: Simulator, more: Mapping[str, Any]
) -> None:
    output = full_read(simulator, page_size=2, **more)
    assert output.error is None
    of_stream = [one for one in output.messages if one.get("stream") == FULL]
    assert [one["type"] for one in of_stream] == ["SCHEMA", *["RECORD"] * 5, "ACTIVATE_VERSION"]
    assert {one["version"] for one in of_stream[1:]} == {VERSION}
    assert remembered(output) == LAST | {"version": VERSION}
    kinds = [one["type"] for one in output.messages]
    assert kinds[kinds.index("ACTIVATE_VERSION") + 1] == "STATE"
    # The incremental stream has no version.
    assert len(output.records[OTHER]) == 5
    assert all("version" not in one for one in output.messages if one.get("stream") == OTHER)
    assert list(activated(output)) == [FULL]


def test_version_is_later_than_the_last_one_even_if_the_clock_is_not(simulator: Simulator) -> None:
    ahead = VERSION + 1_000_000
    output = full_read(simulator, last=LAST | {"version": ahead})
    assert activated(output) == {FULL: ahead + 1}
    assert remembered(output) == LAST | {"version": ahead + 1}


@pytest.mark.parametrize("place", ["metadata", "entry"])
def test_bookmark_of_earlier_incremental_runs_stays(simulator: Simulator, place: str) -> None:
    catalog = read_in_full(only(FULL), FULL if place == "metadata" else "")
    if place == "entry":
        catalog["streams"][0]["replication_method"] = "FULL_TABLE"
    state = state_of(events="2025-01-01T00:00:00.000000Z")
    config = settings_for(simulator, start_date="2020-01-01")
    output = sync(config, FULL, catalog=catalog, state=state)
    assert simulator.requests[0].query["updatedStart"] == "2020-01-01T00:00:00Z"
    assert len(output.records[FULL]) == 5
    assert output.bookmarks == {FULL: "2025-01-01T00:00:00.000000Z"}


def test_every_stream_map_alias_is_activated_but_not_a_removed_stream(simulator: Simulator) -> None:
    maps = {"renamed": {"__source__": FULL}, FULL: None, OTHER: {"__alias__": "halls"}}
    output = full_read(simulator, stream_maps=maps)
    assert output.error is None
    assert activated(output) == {"renamed": VERSION}


def test_row_updated_after_the_start_of_the_run_is_read(simulator: Simulator) -> None:
    """Otherwise the target would remove it."""
    simulator.dataset[FULL][0]["updatedOn"] = (STARTED + timedelta(hours=2)).isoformat()
    output = full_read(simulator)
    assert len(output.records[FULL]) == 5
    assert activated(output)


# Parts of a long range


class FailPart(FailQuery):
    """The query of the part that contains a timestamp fails."""

    def __init__(self, updated: datetime) -> None:
        self._updated = updated

    def applies(self, context: RequestContext) -> bool:
        """Apply to submissions of the part."""
        return context.window is not None and context.window[0] < self._updated < context.window[1]


class MoveRow(FailPart):
    """The lake is refreshed before the part is submitted again: the row is the newest one now."""

    def __init__(self, row: Row) -> None:
        super().__init__(datetime.fromisoformat(row["updatedOn"]))
        self._row = row

    def respond(self, context: RequestContext) -> Response:
        """Update the row, then execute the request."""
        self._row["updatedOn"] = NEWEST.isoformat()
        return context.execute()


@pytest.mark.usefixtures("fake_time")
@pytest.mark.parametrize("age", range(1, 5))
def test_row_that_moves_to_a_later_part_is_read(simulator: Simulator, age: int) -> None:
    rows = simulator.dataset[FULL]
    for days, row in enumerate(rows):
        row["updatedOn"] = (NEWEST - timedelta(days=days)).isoformat()
    simulator.inject(FailPart(NEWEST - timedelta(days=age)).on(FULL))
    moved = simulator.inject(MoveRow(rows[age]).on(FULL, after=1))
    start = (NEWEST - timedelta(days=4, hours=12)).isoformat()
    output = full_read(simulator, start_date=start, export_window_days=1, max_concurrent_exports=8)
    assert output.error is None
    assert moved.fired
    assert {one["id"] for one in output.records[FULL]} == {1, 2, 3, 4, 5}


def test_parts_are_exported_one_after_the_other(simulator: Simulator) -> None:
    settings: dict[str, Any] = {
        "start_date": (NEWEST - timedelta(days=5)).isoformat(),
        "export_window_days": 1,
    }
    full_read(simulator, max_concurrent_exports=8, page_size=1, **settings)
    methods = [one.method for one in simulator.requests if one.stream == FULL]
    assert methods.count("POST") == 7
    assert ("POST", "POST") not in set(pairwise(methods))


@pytest.mark.usefixtures("fake_time")
def test_rows_that_a_failed_export_repeats_count_once(simulator: Simulator) -> None:
    simulator.inject(Status(400).on(FULL, "later_page", after=1))
    output = full_read(simulator, page_size=2)
    assert output.error is None
    assert len(output.records[FULL]) == 9
    assert remembered(output) == LAST | {"version": VERSION}


# The rows stay


@dataclass(frozen=True)
class Case:
    """A full read that must not remove rows from the target.

    Attributes:
        fault: A fault of the service, and its phase.
        prepare: Changes the rows of the service.
        settings: Settings of the run.
        last: The last complete full read in the state.
        text: Part of the warning, or of the error.
        is_error: Whether the run fails.
        is_remembered: Whether the next run can compare with this read.
    """

    text: str
    fault: tuple[FaultType, Any] | None = None
    prepare: Callable[[list[Row]], object] = len
    settings: Mapping[str, Any] | None = None
    last: Mapping[str, Any] | None = None
    is_error: bool = False
    is_remembered: bool = False


def remove_key(rows: list[Row]) -> None:
    """Remove the key of a row."""
    rows[2]["id"] = None


START = "2024-01-01T00:00:00.000000Z"
CASES = {
    "stream denied": Case("HTTP 403", (Status(403), "submit"), is_error=True),
    "export failed": Case("Query execution failed", (FailQuery(), None), is_error=True),
    "page lost": Case(
        "unknown format", (JsonBody({"message": "hello"}), "later_page"), is_error=True
    ),
    "row without id": Case("without a usable id", prepare=remove_key, is_error=True),
    "unknown field": Case(
        "field spare is not in the schema",
        prepare=lambda rows: rows[4].update(spare=1),
        settings={"unknown_fields": "fail"},
        is_error=True,
    ),
    "stream map": Case(
        "a stream map failed",
        prepare=lambda rows: rows[4].update(name=None),
        settings={"stream_maps": {FULL: {"name": "name.upper()"}}},
        is_error=True,
    ),
    "end_date": Case("end_date is set", settings={"end_date": "2025-06-01T12:30:00Z"}),
    "end_date in the future": Case("end_date is set", settings={"end_date": "2099-01-01"}),
    "start_date for the first time": Case(
        "the state has no earlier full read",
        settings={"start_date": "2024-01-01"},
        is_remembered=True,
    ),
    "start_date after the last read of everything": Case(
        "start_date is later", settings={"start_date": "2024-01-01"}, last=LAST
    ),
    "later start_date": Case(
        "start_date is later", settings={"start_date": "2024-01-02"}, last=LAST | {"start": START}
    ),
    "no rows": Case("no rows", prepare=list.clear, last=LAST),
    "no rows in the first read": Case("no rows", prepare=list.clear),
    "range without rows": Case("no rows", settings={"start_date": "2025-06-01T12:30:00Z"}),
    "less than half": Case("less than half", last=LAST | {"rows": 11}),
    "filter without result": Case(
        "no rows", settings={"stream_maps": {FULL: {"__filter__": "id < 0"}}}, last=LAST
    ),
}


@pytest.mark.usefixtures("fake_time")
@pytest.mark.parametrize("name", CASES)
@each_path
def test_rows_stay_unless_the_read_is_complete_and_plausible(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, name: str, more: Mapping[str, Any]
) -> None:
    case = CASES[name]
    case.prepare(simulator.dataset[FULL])
    if case.fault:
        kind, phase = case.fault
        simulator.inject(kind.on(FULL, phase, times=None))
    settings = {"page_size": 2, **more, **(case.settings or {})}
    output = full_read(simulator, last=case.last, **settings)
    assert activated(output) == {}
    assert isinstance(output.error, CampusGroupsError) is case.is_error
    warnings = [
        one.getMessage() for one in caplog.records if messages.ROWS_STAY in one.getMessage()
    ]
    assert len(warnings) == (not case.is_error)
    assert case.text in (str(output.error) if case.is_error else warnings[0])
    expected = {"rows": 5, "start": START, "version": VERSION} if case.is_remembered else case.last
    assert remembered(output) == expected
    if case.is_error:
        assert len(output.records[OTHER]) == 5


@pytest.mark.parametrize(
    ("maps", "warning"),
    [
        # The rows of the incremental stream in the same table have no version.
        ({"copy": {"__source__": FULL, "__filter__": "id < 0"}}, "the read returned no rows"),
        ({FULL: None}, None),
    ],
    ids=["copy without rows", "removed stream"],
)
def test_stream_map_keeps_the_rows_of_each_table(
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    maps: Mapping[str, Any],
    warning: str | None,
) -> None:
    output = full_read(simulator, last=LAST, stream_maps=maps)
    assert output.error is None
    assert activated(output) == {}
    if warning is None:
        assert messages.ROWS_STAY not in caplog.text
    else:
        assert f"{messages.ROWS_STAY}{warning}" in caplog.text


HOUR = timedelta(hours=1)
NONE = timedelta()


@pytest.mark.parametrize(
    ("before", "during", "is_activated"),
    [
        ((NONE, MARGIN - timedelta(seconds=1)), (NONE, NONE), True),
        ((NONE, MARGIN), (NONE, NONE), False),  # the machine's clock is a day behind
        ((NONE, -99 * HOUR), (NONE, NONE), True),
        ((NONE, NONE), (25 * HOUR, 25 * HOUR), False),  # a long read, or a suspended machine
        ((NONE, NONE), (NONE, 25 * HOUR), False),
        ((NONE, -99 * HOUR), (25 * HOUR, 25 * HOUR), False),
        ((30 * HOUR, NONE), (-30 * HOUR, NONE), True),  # the machine's clock is corrected
    ],
)
def test_read_past_the_end_of_its_range_activates_nothing(
    clocks: Clocks,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    before: tuple[timedelta, timedelta],
    during: tuple[timedelta, timedelta],
    is_activated: bool,  # noqa: FBT001
) -> None:
    """A row that was updated after the end of the range is missing."""
    clocks.advance(local=before[0], service=before[1])
    jump = CallAtRequest(lambda: clocks.advance(local=during[0], service=during[1]))
    simulator.inject(jump.on(FULL, "first_page"))
    output = full_read(simulator)
    assert bool(activated(output)) is is_activated
    reason = f"{messages.ROWS_STAY}the read went on past the end of its range (2025-06-02T13:00:00"
    assert (reason in caplog.text) is not is_activated
    assert remembered(output) == (LAST | {"version": VERSION} if is_activated else None)


def test_read_without_the_clock_of_the_service_activates_nothing(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells the tap that its clock is days behind."""
    monkeypatch.setattr(service_monitor, "parse_http_date", lambda _: None)
    output = full_read(simulator)
    assert output.error is None
    assert activated(output) == {}
    assert f"{messages.ROWS_STAY}no response had a Date header" in caplog.text


HOURS = st.integers(-80, 80).map(lambda hours: hours * HOUR)


@settings(max_examples=15)
@given(ahead=HOURS, moves=st.lists(st.tuples(HOURS, HOURS, st.integers(0, 3)), max_size=9))
def test_activated_read_has_every_row_whatever_the_clocks_show(
    ahead: timedelta, moves: list[tuple[timedelta, timedelta, int]]
) -> None:
    """Before some requests, the clocks jump and the service updates a row."""
    clocks, left = Clocks(local=STARTED + ahead), list(moves)
    rows = Dataset({FULL: 4}, newest=NEWEST, span=72 * HOUR)
    with (
        Simulator(rows, now=lambda: clocks.service) as simulator,
        patch.object(service_monitor, "utc_now", lambda: clocks.local),
    ):

        def move() -> None:
            local, service, row = left.pop() if left else (NONE, NONE, 0)
            clocks.advance(local=local, service=abs(service))
            rows[FULL][row]["updatedOn"] = clocks.service.isoformat()

        simulator.inject(CallAtRequest(move).on(FULL, times=None))
        start = canonical(NEWEST - 96 * HOUR)
        config = settings_for(simulator, start_date=start, export_window_days=2, page_size=2)
        last = {"bookmarks": {FULL: {"full_read": LAST | {"start": start, "rows": 1}}}}
        catalog = read_in_full(only(FULL), FULL)
        output = sync(config, FULL, catalog=catalog, state=last, started=clocks.local)
    assert output.error is None
    if activated(output):
        assert {one["id"] for one in output.records[FULL]} == {1, 2, 3, 4}


@pytest.mark.parametrize("limit", [4, 5, 9])
def test_dry_run_activates_nothing(simulator: Simulator, limit: int) -> None:
    catalog = read_in_full(catalog_of([FULL]), FULL)
    tap = TapCampusGroups(config=settings_for(simulator), catalog=catalog)
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, encoding="utf-8")
    with redirect_stdout(stdout):
        tap.run_sync_dry_run(dry_run_record_limit=limit)
    stdout.flush()
    assert b"RECORD" in written.getvalue()
    assert b"ACTIVATE_VERSION" not in written.getvalue()


@pytest.mark.usefixtures("fake_time")
def test_aborted_run_activates_nothing(simulator: Simulator) -> None:
    """The failure of an earlier stream ends the run before the full read."""
    simulator.inject(FailQuery().on("badges", times=None))
    catalog = read_in_full(only("badges", FULL), "badges", FULL)
    config = settings_for(simulator, on_stream_error="abort", max_concurrent_exports=1)
    output = sync(config, "badges", FULL, catalog=catalog)
    assert output.error is not None
    assert activated(output) == {}


def test_read_without_start_date_has_the_rows_of_any_earlier_one(simulator: Simulator) -> None:
    for stream, number, year in ((FULL, 0, 1900), (FULL, 1, 1970), (OTHER, 0, 1900)):
        simulator.dataset[stream][number]["updatedOn"] = f"{year}-01-01T00:00:00Z"
    first = full_read(
        simulator, start_date="1960-01-01", last=LAST | {"start": "1960-01-01T00:00:00.000000Z"}
    )
    assert len(first.records[FULL]) == 4
    second = full_read(simulator, last=remembered(first), export_window_days=10_000)
    assert len(second.records[FULL]) == len(second.records[OTHER]) == 5
    assert activated(second)
    third = full_read(simulator, start_date="1960-01-01", last=remembered(second))
    assert activated(third) == {}


def test_second_read_with_the_same_start_date_activates(simulator: Simulator) -> None:
    first = full_read(simulator, start_date="2024-01-01")
    second = full_read(simulator, start_date="2024-01-01", last=remembered(first))
    assert activated(second)
