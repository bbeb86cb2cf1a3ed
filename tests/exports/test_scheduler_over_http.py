"""Exports of several streams side by side, over HTTP."""

from __future__ import annotations

import io
import json
import re
import threading
import tracemalloc
from collections import Counter
from contextlib import redirect_stdout
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import CampusGroupsError
from tap_campusgroups.exports.scheduler import Slot
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, FailQuery, FaultType, Hang, Phase, Simulator, Status
from tests.support.exports import (
    NAMES,
    ROWS,
    SECONDS,
    SimulatorClock,
    assert_complete,
    background,
    frozen_simulator,
    submitted,
)
from tests.support.harness import NEWEST, settings_for, sync, wait_until

if TYPE_CHECKING:
    from tap_campusgroups.exports.export import Page
    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Response
    from tests.support.fake_time import FakeTime

pytestmark = pytest.mark.usefixtures("no_threads_left")

START = datetime(2018, 1, 1, tzinfo=UTC)
END = "2025-07-01"
"""A fixed upper bound, so that two runs export the same window."""


# Number of exports at the service


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("limit", [1, 4, 23])
def test_exports_up_to_the_limit_run_at_the_service(clock: SimulatorClock, limit: int) -> None:
    def polled() -> int:
        counts = Counter(r.stream for r in simulator.requests if r.status == 202)
        return sum(count > 3 for count in counts.values())

    with (
        frozen_simulator(clock) as simulator,
        background(
            lambda: sync(settings_for(simulator, page_size=2, max_concurrent_exports=limit)),
            release=clock.finish_exports,
        ) as running,
    ):
        wait_until(lambda: polled() == limit)
        assert sorted(submitted(simulator)) == NAMES[:limit]
        assert simulator.active == limit
        clock.finish_exports()
        assert_complete(running.result(SECONDS))
        assert simulator.peak_active == limit


# What is submitted


def test_upper_bound_of_all_streams_is_the_start_of_the_run(simulator: Simulator) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    sync(settings_for(simulator, start_date="2025-01-01T05:00:00+05:00"), started=None)
    after = datetime.now(UTC)
    posts = [request.query for request in simulator.requests if request.method == "POST"]
    assert len(posts) == len(NAMES)
    (bounds,) = {(query["updatedStart"], query["updatedEnd"]) for query in posts}
    assert bounds[0] == "2025-01-01T00:00:00Z"
    assert before <= datetime.fromisoformat(bounds[1]) <= after


@pytest.mark.parametrize("size", [1, 4, 5, 999])
def test_rows_for_any_page_size_are_emitted_once(simulator: Simulator, size: int) -> None:
    output = sync(settings_for(simulator, page_size=size), "users")
    assert_complete(output, ["users"])
    assert sorted(record["id"] for record in output.records["users"]) == [1, 2, 3, 4, 5]


def test_tap_submits_no_stream_at_discovery_and_those_that_are_synced_each_time(
    simulator: Simulator,
) -> None:
    tap = TapCampusGroups(config=settings_for(simulator, max_concurrent_exports=23))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        tap.run_discovery()
        assert submitted(simulator) == []
        tap.streams["events"].sync()
        assert submitted(simulator) == ["events"]
        tap.sync_all()
        tap.sync_all()
    assert sorted(submitted(simulator)) == sorted([*NAMES, *NAMES, "events"])


# Failures


@pytest.mark.usefixtures("impatient")
def test_failed_stream_submits_nothing_more_also_with_free_places(clock: SimulatorClock) -> None:
    """Its first window is refused while 15 others run; these fail as queries after that."""
    earlier, failing, later = "badges", "events", "rooms"
    with frozen_simulator(clock) as simulator:

        class Refused(Status):
            def applies(self, context: RequestContext) -> bool:
                return context.window is not None and context.window[0] <= START

            def respond(self, context: RequestContext) -> Response:
                wait_until(lambda: submitted(simulator).count(failing) == 15)
                return super().respond(context)

        class FailLater(FailQuery):
            def applies(self, context: RequestContext) -> bool:
                # A later stream has the place of the refused window.
                return context.phase == "poll" and later in submitted(simulator)

        simulator.timing.running_seconds = dict.fromkeys([failing, later], 1)
        simulator.inject(Hang().on(earlier, "later_page"))
        simulator.inject(Refused(418).on(failing, times=1))
        simulator.inject(FailLater().on(failing, times=None))

        def release() -> None:
            clock.finish_exports()
            simulator.release()

        settings = settings_for(
            simulator,
            start_date=START.isoformat(),
            end_date=END,
            export_window_days=90,
            max_concurrent_exports=16,
            page_size=1,
        )
        run = partial(sync, settings, earlier, failing, later)
        with background(run, release=release) as running:
            # All places are free again, and the later stream has taken them.
            wait_until(lambda: submitted(simulator).count(later) == 16)
            assert simulator.hanging == 1
            release()
            output = running.result(SECONDS)
        posts = Counter((r.stream, r.status) for r in simulator.requests if r.method == "POST")
    assert str(output.error).startswith(f"Stream '{failing}': ")
    assert "HTTP 418" in str(output.error)
    all_windows = {(earlier, 200): 31, (later, 200): 31}
    assert posts == {**all_windows, (failing, 200): 15, (failing, 418): 1}


def test_windows_of_many_streams_take_no_memory_before_their_turn(simulator: Simulator) -> None:
    """23 streams since 1999 have 226,113 windows of a day."""
    simulator.inject(Status(401).on(times=None))
    assert sync(settings_for(simulator, export_window_days=1)).error is not None  # warm up
    tracemalloc.start()
    try:
        sync(settings_for(simulator, export_window_days=1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * 2**20


@pytest.mark.parametrize("limit", [1, 4])
def test_403_for_six_seconds_after_the_secret_has_worked_fails_no_stream(
    fake_time: FakeTime, limit: int
) -> None:
    with Simulator(Dataset(ROWS, newest=NEWEST), clock=fake_time.monotonic) as simulator:
        until: list[float] = []

        class Firewall(Status):
            def applies(self, context: RequestContext) -> bool:
                if not until and context.stream == NAMES[3]:
                    until.append(fake_time.monotonic() + 6)
                return bool(until) and fake_time.monotonic() < until[0]

        fault = simulator.inject(Firewall(403).on(times=None))
        assert_complete(sync(settings_for(simulator, max_concurrent_exports=limit)))
        assert fault.fired >= 3


# Output


FAULTS: dict[str, tuple[FaultType, Phase | None, int | None] | None] = {
    "none": None,
    "query fails once": (FailQuery(), None, 1),
    "query fails always": (FailQuery(), None, None),
    "page is lost": (Status(404), "later_page", None),
}
BAD = "groups"


def output_of(config: dict[str, Any]) -> tuple[bytes, str]:
    """Run the tap; return its output without `time_extracted`, and its error."""
    stdout = io.BytesIO()
    error_text = ""
    with redirect_stdout(io.TextIOWrapper(stdout, encoding="utf-8")) as text:
        try:
            TapCampusGroups(config=config).sync_all()
        except CampusGroupsError as error:
            error_text = str(error)
        text.flush()
        return re.sub(rb',"time_extracted":"[^"]+"', b"", stdout.getvalue()), error_text


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fault", "on_stream_error", "windows"),
    [
        *((fault, "continue", {}) for fault in FAULTS),
        ("query fails always", "abort", {}),
        ("query fails once", "continue", {"start_date": "2024-04-01", "export_window_days": 100}),
    ],
)
def test_output_for_any_limit_is_the_same(
    fault: str, on_stream_error: str, windows: dict[str, Any]
) -> None:
    outputs = []
    for limit in (1, 4, 23):
        # The first streams take longest.
        polls = {name: 8 - number for number, name in enumerate(NAMES[:8])}
        with Simulator(Dataset(ROWS, newest=NEWEST), running_polls=polls) as simulator:
            if (found := FAULTS[fault]) is not None:
                kind, phase, times = found
                simulator.inject(kind.on(BAD, phase, times=times))
            config = settings_for(
                simulator,
                end_date=END,
                page_size=2,
                max_concurrent_exports=limit,
                on_stream_error=on_stream_error,
                **windows,
            )
            outputs.append(output_of(config))
    assert outputs[0] == outputs[1] == outputs[2]
    lines, error = outputs[0]
    messages = [json.loads(line) for line in lines.splitlines()]
    rows = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    complete = [name for name in NAMES if rows[name] == ROWS]
    position = NAMES.index(BAD)
    after = NAMES[position + 1 :] if on_stream_error == "continue" else []
    if fault in {"none", "query fails once"}:
        assert (error, complete) == ("", NAMES)
    else:
        assert error.startswith(f"Stream '{BAD}': ")
        assert complete == NAMES[:position] + after
        assert set(rows) - set(complete) <= {BAD}


def test_first_pages_larger_than_expected_stay_within_the_buffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight first pages on their way at a time, several times as large as the buffer."""
    names, rows, buffer = NAMES[:8], 300, 200_000
    scheduler = "tap_campusgroups.exports.scheduler"
    monkeypatch.setattr(f"{scheduler}.MAX_BUFFERED_BYTES", buffer)
    monkeypatch.setattr(f"{scheduler}.PAGE_ESTIMATE", 1000)
    monkeypatch.setattr("tap_campusgroups.exports.connection.CHUNK_BYTES", 10_000)
    held, sizes, refused = list[int](), list[int](), list[int]()
    has_room, store = Slot.has_room, Slot.store
    all_begin, begun = threading.Barrier(8), set[int]()

    def observed(slot: Slot, size: int) -> bool:
        if slot.number not in begun:
            begun.add(slot.number)
            all_begin.wait(SECONDS)
        with slot.capacity.changed:
            is_allowed = has_room(slot, size)
            held.append(slot.capacity.buffered_bytes)
        refused.extend([size] * (not is_allowed))
        return is_allowed

    def stored(slot: Slot, page: Page) -> None:
        sizes.append(page.size)
        store(slot, page)

    monkeypatch.setattr(Slot, "has_room", observed)
    monkeypatch.setattr(Slot, "store", stored)
    with Simulator(Dataset(rows, newest=NEWEST)) as simulator:
        output = sync(settings_for(simulator, max_concurrent_exports=8), *names)
    assert output.error is None
    assert {name: len(found) for name, found in output.records.items()} == dict.fromkeys(
        names, rows
    )
    assert refused
    assert sum(sizes) > 4 * buffer
    # Beside the buffer: the room of the current job, which is at most that of two such pages.
    assert max(held) <= buffer + 2 * max(sizes)
