"""Long ranges in windows: how they are cut, where a run resumes, what a bookmark says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_campusgroups.exceptions import ExportFailedError, ServiceUnavailableError
from tap_campusgroups.exports.export import MIN_BISECTED, Window
from tap_campusgroups.exports.retry import RetryPolicy
from tests.simulator import (
    CancelQuery,
    Dataset,
    FailQuery,
    Phase,
    Simulator,
    Status,
    StillRunning,
)
from tests.support.harness import (
    NEWEST,
    STARTED,
    canonical,
    catalog_of,
    settings_for,
    state_of,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.request_context import RequestContext
    from tests.support.fake_time import FakeTime
    from tests.support.harness import Output

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
START = NEWEST.replace(hour=0, minute=0, second=0, microsecond=0) - 10 * DAY
"""The first instant of the tests' backfills: eleven days with the one that the run is on."""

BACKFILL: dict[str, Any] = {"start_date": START.isoformat(), "export_window_days": 1}
ROWS = 60


# How a range is cut

instants = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis wants its bounds so
    datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours))),
)


def check_cover(parts: list[Window], whole: Window) -> None:
    """Make sure that windows are, in their order and without a gap, the whole."""
    assert (parts[0].start, parts[-1].end) == (whole.start, whole.end)
    assert all(left.end == right.start for left, right in pairwise(parts))
    for part in parts:
        assert part.start < part.end or parts == [whole]
        assert (part.start.microsecond, part.end.microsecond) == (0, 0)
        assert part.start.tzinfo is part.end.tzinfo is UTC


@settings(derandomize=True, deadline=None)
@given(instants, instants, st.none() | st.integers(1, 36_600))
def test_windows_ascend_share_their_bounds_and_are_the_range(
    start: datetime, end: datetime, days: int | None
) -> None:
    window = Window.between(start, end)
    parts = window.split(days)
    if window.start > window.end:
        assert parts == []
        return
    check_cover(parts, window)
    step = (days or 36_600) * DAY
    assert all(part.end - part.start == step for part in parts[:-1])
    assert parts[-1].end - parts[-1].start <= step


@settings(derandomize=True, deadline=None)
@given(instants, st.integers(0, 10**6) | st.integers(0, 3700).map(lambda seconds: 3500 + seconds))
def test_halves_share_their_bound_and_an_hour_is_not_halved(start: datetime, seconds: int) -> None:
    window = Window.between(start, start + seconds * SECOND)
    bisect = window.bisect()
    check_cover(bisect, window)
    assert len(bisect) == (2 if seconds > 3600 else 1)
    lengths = [half.end - half.start for half in bisect]
    assert max(lengths) - min(lengths) <= SECOND
    assert timedelta(hours=1) == MIN_BISECTED


@pytest.mark.parametrize(
    ("hours", "days", "lengths"),
    [(0, 1, [0]), (24, 1, [24]), (25, 1, [24, 1]), (72, 1, [24] * 3), (72, 2, [48, 24])],
)
def test_a_range_that_is_a_multiple_has_no_empty_window_after_it(
    hours: int, days: int, lengths: list[int]
) -> None:
    parts = Window(START, START + timedelta(hours=hours)).split(days)
    assert [(part.end - part.start) / timedelta(hours=1) for part in parts] == lengths


# A backfill


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """The service, with 60 rows of two streams in the range of the backfills, and a bit before."""
    dataset = Dataset({"events": ROWS, "rooms": ROWS}, newest=NEWEST, span=11 * DAY)
    with Simulator(dataset) as simulator:
        yield simulator


def instants_of(simulator: Simulator, stream: str) -> dict[int, str]:
    """List when the rows changed, in canonical form, by id."""
    found = {}
    for row in simulator.dataset[stream]:
        instant = datetime.fromisoformat(row["updatedOn"])
        aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        found[row["id"]] = canonical(aware.astimezone(UTC))
    return found


def in_range(simulator: Simulator, stream: str, start: datetime, end: datetime) -> set[int]:
    """Pick the rows between two instants."""
    return {
        number
        for number, updated in instants_of(simulator, stream).items()
        if canonical(start) <= updated <= canonical(end)
    }


def submitted(simulator: Simulator, stream: str = "events") -> list[tuple[datetime, datetime]]:
    """List the ranges that were asked for."""
    return [
        (
            datetime.fromisoformat(request.query["updatedStart"]),
            datetime.fromisoformat(request.query["updatedEnd"]),
        )
        for request in simulator.requests
        if request.method == "POST" and request.stream == stream
    ]


def ids(output: Output, stream: str = "events") -> set[int]:
    """List the ids of a stream's records."""
    return {record["id"] for record in output.records.get(stream, [])}


def bookmarks_on_the_way(output: Output, stream: str = "events") -> list[str]:
    """List the bookmarks of a stream, each once, in the order of the states."""
    every = (
        state.get("bookmarks", {}).get(stream, {}).get("replication_key_value", "")
        for state in output.states
    )
    return [bookmark for bookmark, _ in groupby(every)]


class FailWindow(FailQuery):
    """The query fails whose window has a row in it, at its second page, at every try."""

    def __init__(self, number: int) -> None:
        """Name the row."""
        self._row = f'"id":{number},'.encode()

    def applies(self, context: RequestContext) -> bool:
        """Apply to queries with that row."""
        return (
            super().applies(context)
            and context.query is not None
            and any(self._row in row[:30] for row in context.query.rows)
        )


def a_row_of_day(simulator: Simulator, day: int) -> int:
    """Find a row in the middle of a day of the backfill, and make it the only one of its hours."""
    row = simulator.dataset["events"][7]
    row["updatedOn"] = canonical(START + day * DAY + DAY / 2)
    number: int = row["id"]
    return number


def test_a_backfill_asks_for_each_day_in_turn(simulator: Simulator) -> None:
    settings_ = BACKFILL | {"max_concurrent_exports": 1}
    output = sync(settings_for(simulator, **settings_), "events")
    assert output.error is None
    asked = submitted(simulator)
    assert asked == [
        *((START + day * DAY, START + (day + 1) * DAY) for day in range(10)),
        (START + 10 * DAY, STARTED.replace(microsecond=0)),
    ]
    assert ids(output) == in_range(simulator, "events", START, STARTED)
    assert len(ids(output)) < ROWS


def test_a_state_follows_each_window_with_the_newest_row_so_far(simulator: Simulator) -> None:
    output = sync(settings_for(simulator, **BACKFILL, page_size=3), "events")
    ends = [min(START + day * DAY, STARTED) for day in range(1, 12)]
    rows = instants_of(simulator, "events").values()
    expected = []
    for end in ends:
        newest = max((row for row in rows if row <= canonical(end)), default="")
        end_ = canonical(min(end.replace(microsecond=0), STARTED - 2 * DAY))
        expected.append(max(newest, end_))
    assert bookmarks_on_the_way(output) == expected
    # What a state is right about stands before it, and nothing else does: windows do not mix.
    seen: set[str] = set()
    position = 0
    for message in output.messages:
        if message["type"] == "RECORD":
            seen.add(message["record"]["updatedOn"])
        elif message["type"] == "STATE":
            bound = canonical(ends[position])
            assert seen == {row for row in rows if canonical(START) <= row <= bound}
            position += 1
    assert position == len(ends)


def test_a_row_on_a_shared_bound_comes_with_both_windows(simulator: Simulator) -> None:
    row = simulator.dataset["events"][0]
    row["updatedOn"] = canonical(START + 3 * DAY)
    output = sync(settings_for(simulator, **BACKFILL), "events")
    assert output.error is None
    assert [record["id"] for record in output.records["events"]].count(row["id"]) == 2


def test_a_quiet_window_moves_the_bookmark_to_its_end(simulator: Simulator) -> None:
    simulator.dataset["events"].clear()
    output = sync(settings_for(simulator, **BACKFILL), "events")
    assert bookmarks_on_the_way(output) == [
        *(canonical(START + day * DAY) for day in range(1, 9)),
        canonical(STARTED - 2 * DAY),  # not past what may come late, in three windows
    ]
    assert len(submitted(simulator)) == 11


@pytest.mark.parametrize("cap", [1, 4])
def test_a_window_that_fails_leaves_the_bookmark_of_the_one_before(
    simulator: Simulator, cap: int
) -> None:
    bad = a_row_of_day(simulator, 4)
    config = settings_for(simulator, **BACKFILL, page_size=2, max_concurrent_exports=cap)
    fault = simulator.inject(FailWindow(bad).on("events", "later_page", times=None))
    simulator.inject(FailWindow(bad).on("events", "first_page", times=None, after=1))
    output = sync(config, "events", "rooms")
    assert isinstance(output.error, ExportFailedError)
    assert fault.fired
    rows = instants_of(simulator, "events").values()
    before = max(row for row in rows if row <= canonical(START + 4 * DAY))
    end_of_day_3 = canonical(START + 4 * DAY)
    assert output.bookmarks["events"] == max(before, end_of_day_3)
    assert max(bookmarks_on_the_way(output)) == output.bookmarks["events"]
    # No later window's rows are emitted, so a rerun's are the newest; the other stream is whole.
    assert ids(output) <= in_range(simulator, "events", START, START + 5 * DAY)
    assert ids(output) >= in_range(simulator, "events", START, START + 4 * DAY)
    assert ids(output, "rooms") == in_range(simulator, "rooms", START, STARTED)
    assert output.bookmarks["rooms"] == canonical(NEWEST)

    simulator.clear_faults()
    simulator.reset_log()
    again = sync(config, "events", "rooms", state=output.states[-1])
    assert again.error is None
    resumed = datetime.fromisoformat(output.bookmarks["events"] or "") - 2 * DAY
    assert min(submitted(simulator))[0] == resumed.replace(microsecond=0)
    assert ids(output) | ids(again) == in_range(simulator, "events", START, STARTED)


def test_a_window_out_of_reach_leaves_the_bookmark_of_the_one_before(
    fake_time: FakeTime,
) -> None:
    dataset = Dataset({"events": ROWS}, newest=NEWEST, span=11 * DAY)
    with Simulator(dataset, clock=fake_time.monotonic) as simulator:
        fault = simulator.inject(Status(503).on("events", "submit", after=3, times=None))
        config = settings_for(simulator, **BACKFILL, max_concurrent_exports=1)
        output = sync(config, "events")
        assert isinstance(output.error, ServiceUnavailableError)
        assert fault.fired == RetryPolicy().max_attempts
        assert bookmarks_on_the_way(output) == [canonical(START + day * DAY) for day in range(1, 4)]
        assert ids(output) == in_range(simulator, "events", START, START + 3 * DAY)


# Windows that are submitted again


PHASES: tuple[Phase, ...] = ("submit", "first_page", "later_page")


@pytest.mark.parametrize("kind", [FailQuery, CancelQuery])
@pytest.mark.parametrize("phase", PHASES)
def test_a_failed_window_comes_again_in_halves(
    simulator: Simulator, kind: type[FailQuery | CancelQuery], phase: Phase
) -> None:
    fault = simulator.inject(kind().on("events", phase, after=2))
    config = settings_for(simulator, **BACKFILL, page_size=2, max_concurrent_exports=1)
    output = sync(config, "events")
    assert output.error is None
    assert fault.fired == 1
    asked = submitted(simulator)
    assert len(asked) == 13
    (failed,) = [at for at, pair in enumerate(pairwise(asked)) if pair[1][0] == pair[0][0]]
    (start, end), first, second, after = asked[failed : failed + 4]
    middle = start + DAY / 2
    assert (first, second) == ((start, middle), (middle, end))
    assert after[0] == end
    assert ids(output) == in_range(simulator, "events", START, STARTED)
    # The bisect are no windows: the state waits for both.
    plain = sync(config, "events")
    assert bookmarks_on_the_way(output) == bookmarks_on_the_way(plain)


def test_a_half_that_fails_comes_again_in_quarters_and_then_no_more(simulator: Simulator) -> None:
    bad = a_row_of_day(simulator, 2)
    simulator.inject(FailWindow(bad).on("events", "first_page", times=None))
    output = sync(
        settings_for(simulator, **BACKFILL, max_concurrent_exports=1, on_stream_error="abort"),
        "events",
    )
    assert isinstance(output.error, ExportFailedError)
    day = START + 2 * DAY
    # The row is at noon, where the bisect meet: the first half has it, and its second quarter.
    assert submitted(simulator)[2:] == [
        (day, day + DAY),
        (day, day + DAY / 2),
        (day, day + DAY / 4),
        (day + DAY / 4, day + DAY / 2),
    ]
    assert bookmarks_on_the_way(output)[-1] >= canonical(day)
    assert bookmarks_on_the_way(output)[-1] < canonical(day + DAY / 4)


def test_a_window_of_an_hour_comes_again_as_it_is(simulator: Simulator) -> None:
    fault = simulator.inject(FailQuery().on("events", "submit", times=2))
    hour = {"start_date": (STARTED - timedelta(hours=1)).isoformat()}
    output = sync(settings_for(simulator, **BACKFILL | hour), "events")
    assert output.error is None
    assert fault.fired == 2
    assert len(submitted(simulator)) == 3
    assert len(set(submitted(simulator))) == 1
    assert output.bookmarks == {"events": canonical(NEWEST)}


# Ranges that are not those of an ordinary run


def test_end_date_bounds_a_run_and_the_next_one_goes_on_from_there(simulator: Simulator) -> None:
    until = START + 5 * DAY + DAY / 4
    first = sync(settings_for(simulator, **BACKFILL, end_date=until.isoformat()), "events")
    assert first.error is None
    assert max(end for _, end in submitted(simulator)) == until
    assert ids(first) == in_range(simulator, "events", START, until)
    # Of so long ago nothing comes late any more.
    assert first.bookmarks == {"events": canonical(until)}
    simulator.reset_log()
    second = sync(settings_for(simulator, **BACKFILL), "events", state=first.states[-1])
    assert min(submitted(simulator))[0] == until - 2 * DAY
    assert ids(first) | ids(second) == in_range(simulator, "events", START, STARTED)
    assert second.bookmarks == {"events": canonical(NEWEST)}


@pytest.mark.parametrize("window", [None, 1])
def test_an_old_range_read_again_does_not_take_the_bookmark_back(
    simulator: Simulator, window: int | None
) -> None:
    until = START + 5 * DAY
    state = state_of(events=canonical(NEWEST), rooms=canonical(NEWEST))
    config = settings_for(
        simulator,
        start_date=START.isoformat(),
        end_date=until.isoformat(),
        export_window_days=window,
    )
    output = sync(config, "events", state=state)
    assert output.error is None
    assert output.states[-1] == state
    assert set(bookmarks_on_the_way(output)) == {canonical(NEWEST)}
    # With the range's end after what the bookmark and the lookback leave, something is read.
    late = sync(config | {"end_date": (NEWEST - DAY).isoformat()}, "events", state=state)
    assert ids(late) == in_range(
        simulator, "events", (NEWEST - 2 * DAY).replace(microsecond=0), NEWEST - DAY
    )
    assert late.records
    assert late.states[-1] == state


def test_an_old_range_read_as_a_whole_table_does_not_touch_the_bookmark(
    simulator: Simulator,
) -> None:
    """The way to read a range again without a second state."""
    catalog = catalog_of(["events"])
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
    state = state_of(events=canonical(NEWEST))
    until = START + 5 * DAY
    config = settings_for(simulator, **BACKFILL, end_date=until.isoformat())
    output = sync(config, catalog=catalog, state=state)
    assert output.error is None
    assert ids(output) == in_range(simulator, "events", START, until)
    assert len(submitted(simulator)) == 5
    assert set(bookmarks_on_the_way(output)) == {canonical(NEWEST)}


def test_a_whole_table_in_windows_has_every_row_and_no_bookmark(simulator: Simulator) -> None:
    catalog = catalog_of(["events"])
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
    output = sync(settings_for(simulator, **BACKFILL), catalog=catalog)
    assert output.error is None
    assert len(submitted(simulator)) == 11
    assert ids(output) == in_range(simulator, "events", START, STARTED)
    assert set(bookmarks_on_the_way(output)) <= {"", None}


def test_an_earlier_start_date_under_a_bookmark_reads_nothing_older(simulator: Simulator) -> None:
    bookmark = START + 6 * DAY
    for start in (START + 3 * DAY, START, START - 400 * DAY):
        simulator.reset_log()
        output = sync(
            settings_for(simulator, start_date=start.isoformat()),
            "events",
            state=state_of(events=canonical(bookmark)),
        )
        assert submitted(simulator) == [(bookmark - 2 * DAY, STARTED.replace(microsecond=0))]
        assert ids(output) == in_range(simulator, "events", bookmark - 2 * DAY, STARTED)


def test_an_earlier_start_date_under_a_bookmark_is_told(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    def told(state: dict[str, Any], **more: Any) -> tuple[dict[str, Any], list[str]]:
        caplog.clear()
        output = sync(settings_for(simulator, **BACKFILL | more), "events", "rooms", state=state)
        assert output.error is None
        lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        return output.states[-1], [line for line in lines if "start_date" in line]

    state, lines = told({})
    assert lines == []
    for start in (START, START + DAY):
        assert told(state, start_date=start.isoformat())[1] == []
    (line,) = told(state, start_date=(START - DAY).isoformat())[1]
    assert "events, rooms" in line
    (line,) = told(state, start_date=None)[1]


@pytest.mark.parametrize("sizes", [(1, None), (None, 1), (3, 2)], ids=repr)
def test_a_state_of_a_run_with_windows_fits_a_run_without_and_back(
    simulator: Simulator, sizes: tuple[int | None, int | None]
) -> None:
    first, second = (
        settings_for(simulator, start_date=START.isoformat(), export_window_days=size)
        for size in sizes
    )
    whole = sync(first, "events", started=STARTED)
    for state in whole.states:
        output = sync(second, "events", state=state)
        assert output.error is None
        assert output.states[-1] == whole.states[-1]
        bookmark = state["bookmarks"]["events"]["replication_key_value"]
        before = {record["id"] for record in whole.records["events"]}
        assert ids(output) <= before
        since = datetime.fromisoformat(bookmark) - 2 * DAY
        start = max(START, since.replace(microsecond=0))
        assert ids(output) == in_range(simulator, "events", start, STARTED)


def output_of(cap: int, failures: int) -> list[dict[str, Any]]:
    """Run a backfill of three streams against a service of its own."""
    counts = {"events": ROWS, "rooms": ROWS, "tags": 7}
    with Simulator(Dataset(counts, newest=NEWEST, span=11 * DAY)) as simulator:
        bad = a_row_of_day(simulator, 4)
        # No export is done before another one is beside it.
        together = StillRunning(lambda: simulator.peak_active >= min(cap, 2))
        simulator.inject(together.on(times=None))
        if failures:
            simulator.inject(FailWindow(bad).on("events", "first_page", times=failures))
        config = settings_for(simulator, **BACKFILL, max_concurrent_exports=cap, page_size=2)
        output = sync(config, "events", "rooms", "tags")
        assert output.error is None
        assert min(cap, 2) <= simulator.peak_active <= cap
    for message in output.messages:
        message.pop("time_extracted", None)
    return output.messages


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("failures", [0, 2])
def test_many_windows_come_in_the_same_order_whatever_the_concurrency(failures: int) -> None:
    one = output_of(1, failures)
    assert sum(message["type"] == "STATE" for message in one) > 30
    for cap in (2, 4, 16):
        assert output_of(cap, failures) == one
