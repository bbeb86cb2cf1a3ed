"""Exports of several streams side by side, over HTTP."""

from __future__ import annotations

import io
import itertools
import json
import logging
import re
from collections import Counter
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportFailedError,
    ServiceUnavailableError,
)
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
    workers,
)
from tests.support.harness import NEWEST, settings_for, state_of, sync, wait_until

if TYPE_CHECKING:
    from tests.support.fake_time import FakeTime

pytestmark = pytest.mark.usefixtures("no_threads_left")

END = "2025-07-01"
"""A fixed upper bound, so that two runs export the same window."""

REDUCED = "Concurrency reduced for this run: max_concurrent_exports="


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


@pytest.mark.usefixtures("impatient")
def test_resubmitted_exports_count_against_the_limit(clock: SimulatorClock) -> None:
    with frozen_simulator(clock) as simulator:
        failing = [simulator.inject(FailQuery().on(stream, "poll")) for stream in NAMES[:2]]
        config = settings_for(simulator, max_concurrent_exports=2)
        with background(lambda: sync(config), release=clock.finish_exports) as running:
            wait_until(lambda: all(fault.fired for fault in failing) and simulator.active == 2)
            clock.finish_exports()
            assert_complete(running.result(SECONDS))
        assert simulator.peak_active == 2
        assert len(submitted(simulator)) == len(NAMES) + 4  # two halves of each


@pytest.mark.usefixtures("impatient")
def test_export_that_has_run_frees_its_slot_before_its_pages_are_fetched() -> None:
    with Simulator(Dataset(ROWS, newest=NEWEST), queued_polls=1, running_polls=2) as simulator:
        for stream in NAMES[:2]:
            simulator.inject(Hang().on(stream, "later_page"))
        with background(
            lambda: sync(settings_for(simulator, page_size=2, max_concurrent_exports=2)),
            release=simulator.release,
        ) as running:
            wait_until(lambda: len(submitted(simulator)) == len(NAMES))
            wait_until(lambda: simulator.hanging == 2)
            simulator.release()
            assert_complete(running.result(SECONDS))
        assert simulator.peak_active == 2


@pytest.mark.usefixtures("impatient")
def test_requests_with_a_limit_of_one_are_those_of_a_sequential_tap(simulator: Simulator) -> None:
    simulator.timing.running_polls = {"events": 1}
    assert_complete(sync(settings_for(simulator, page_size=2, max_concurrent_exports=1)))
    requests = [(request.stream, request.phase) for request in simulator.requests]
    assert requests == [
        (stream, phase)
        for stream in NAMES
        for phase in ("submit", "poll", "first_page", "later_page", "later_page")
        if phase != "poll" or stream == "events"
    ]
    assert simulator.peak_active == 1


# What is submitted


def test_deselected_streams_are_not_submitted(simulator: Simulator) -> None:
    selected = ["badges", "events", "tags", "users"]
    assert_complete(sync(settings_for(simulator), *selected), selected)
    assert sorted(submitted(simulator)) == selected


def test_streams_with_an_empty_window_are_not_submitted(simulator: Simulator) -> None:
    later = "2025-06-01T12:30:00Z"
    state = state_of(badges=later, work_experiences=later)
    config = settings_for(simulator, end_date="2025-06-01T12:15:00Z", lookback_hours=0)
    output = sync(config, state=state)
    others = [name for name in NAMES if name not in state["bookmarks"]]
    assert_complete(output, others)
    assert sorted(submitted(simulator)) == others


def test_second_sync_of_one_tap_submits_all_streams_again(simulator: Simulator) -> None:
    tap = TapCampusGroups(config=settings_for(simulator))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        tap.sync_all()
        tap.sync_all()
    assert sorted(submitted(simulator)) == sorted(2 * NAMES)


def test_stream_synced_by_itself_submits_no_other_stream(simulator: Simulator) -> None:
    tap = TapCampusGroups(config=settings_for(simulator, max_concurrent_exports=23))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        tap.streams["events"].sync()
    assert workers() == []
    assert submitted(simulator) == ["events"]


def test_discovery_sends_no_request(simulator: Simulator) -> None:
    tap = TapCampusGroups(config=settings_for(simulator))
    with redirect_stdout(io.StringIO()) as stdout:
        tap.run_discovery()
    assert len(json.loads(stdout.getvalue())["streams"]) == len(NAMES)
    assert simulator.requests == []


@pytest.mark.usefixtures("impatient")
def test_connection_test_of_the_sdk_prefetches_no_other_stream(simulator: Simulator) -> None:
    simulator.timing.running_polls = 1
    tap = TapCampusGroups(config=settings_for(simulator, page_size=2))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        assert tap.run_connection_test()
    assert submitted(simulator) == NAMES
    assert [
        stream for stream, _ in itertools.groupby(r.stream for r in simulator.requests)
    ] == NAMES
    assert simulator.peak_active == 1


# HTTP 429


@pytest.mark.usefixtures("impatient")
def test_429_to_a_submission_reduces_the_limit(
    clock: SimulatorClock, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        frozen_simulator(clock, max_active=3) as simulator,
        background(
            lambda: sync(settings_for(simulator, page_size=2, max_concurrent_exports=8)),
            release=clock.finish_exports,
        ) as running,
    ):
        wait_until(lambda: f"{REDUCED}3 " in caplog.text)
        rejected = submitted(simulator, 429)
        assert len(rejected) in range(1, 6)
        assert sorted(submitted(simulator) + rejected) == NAMES[: 3 + len(rejected)]
        clock.finish_exports()
        assert_complete(running.result(SECONDS))
        assert submitted(simulator, 429) == rejected
        assert len(submitted(simulator)) == len(NAMES)
        assert simulator.peak_active == 3
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


def test_429_without_another_export_is_retried(
    simulator: Simulator, fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(
        Status(429, headers={"Retry-After": "7"}).on(NAMES[0], "submit", times=2),
    )
    assert_complete(sync(settings_for(simulator)))
    assert fake_time.slept == [7, 7]
    assert submitted(simulator, 429) == [NAMES[0]] * 2
    assert REDUCED not in caplog.text
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 2


@pytest.mark.usefixtures("fake_time")
def test_429_without_another_export_at_all_attempts_is_an_error(simulator: Simulator) -> None:
    simulator.inject(Status(429).on(times=None))
    config = settings_for(simulator, max_concurrent_exports=23, on_stream_error="abort")
    output = sync(config)
    assert isinstance(output.error, ServiceUnavailableError)
    assert "failed after 8 attempts" in str(output.error)
    assert submitted(simulator, 429) == [NAMES[0]] * 8


@pytest.mark.usefixtures("impatient")
def test_rejected_export_that_waited_for_a_slot_has_all_its_attempts(
    clock: SimulatorClock, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = NAMES[:2]
    with frozen_simulator(clock) as simulator:
        simulator.inject(Status(429).on(second, "submit", times=8))
        with background(
            lambda: sync(settings_for(simulator, max_concurrent_exports=2), first, second),
            release=clock.finish_exports,
        ) as running:
            wait_until(lambda: f"{REDUCED}1 " in caplog.text)
            assert submitted(simulator, 429) == [second]
            clock.finish_exports()
            assert_complete(running.result(SECONDS), [first, second])
        assert submitted(simulator, 429) == [second] * 8
    assert re.findall(r"attempt=(\d)/8", caplog.text) == list("2345678")


@pytest.mark.usefixtures("impatient")
def test_429_to_a_poll_does_not_reduce_the_limit(
    clock: SimulatorClock, caplog: pytest.LogCaptureFixture
) -> None:
    with frozen_simulator(clock) as simulator:
        fault = simulator.inject(Status(429).on(NAMES[1], "poll"))
        config = settings_for(simulator)
        with background(lambda: sync(config), release=clock.finish_exports) as running:
            wait_until(lambda: fault.fired and simulator.active == 4)
            wait_until(lambda: "attempt=2/8" in caplog.text)
            clock.finish_exports()
            assert_complete(running.result(SECONDS))
    assert REDUCED not in caplog.text


# Failures


@pytest.mark.parametrize("limit", [1, 4])
def test_failed_stream_submits_no_later_window(simulator: Simulator, limit: int) -> None:
    bad, *good = NAMES[:4]
    simulator.inject(Status(400).on(bad, "submit"))
    config = settings_for(
        simulator,
        start_date="2025-01-01",
        end_date=END,
        export_window_days=100,
        max_concurrent_exports=limit,
    )
    with background(lambda: sync(config, bad, *good), release=simulator.close) as running:
        output = running.result(SECONDS)
    assert str(output.error).startswith(f"Stream '{bad}': ")
    assert sorted(submitted(simulator)) == sorted(2 * good)


@pytest.mark.parametrize("limit", [1, 4, 23])
def test_wrong_secret_costs_one_request(simulator: Simulator, limit: int) -> None:
    simulator.inject(Hang().on(NAMES[0]))
    config = settings_for(simulator, api_secret="wrong", max_concurrent_exports=limit)  # noqa: S106
    with background(lambda: sync(config), release=simulator.release) as running:
        wait_until(lambda: simulator.hanging == 1)
        simulator.release()
        assert isinstance(running.result(SECONDS).error, AccessDeniedError)
    assert len(simulator.requests) == 1


@pytest.mark.usefixtures("impatient")
def test_failure_of_a_later_stream_is_raised_at_its_turn(simulator: Simulator) -> None:
    simulator.inject(FailQuery().on("badges", times=None))
    simulator.inject(Hang().on(NAMES[0], "later_page"))
    config = settings_for(
        simulator, page_size=2, max_concurrent_exports=23, on_stream_error="abort"
    )
    with background(lambda: sync(config), release=simulator.release) as running:
        wait_until(lambda: submitted(simulator).count("badges") == 3)
        wait_until(lambda: simulator.hanging == 1)
        assert not running.done()
        simulator.release()
        output = running.result(SECONDS)
    assert isinstance(output.error, ExportFailedError)
    assert str(output.error).startswith("Stream 'badges': ")
    assert output.error.__notes__ == ["In the export of stream 'badges'."]
    assert {name: len(rows) for name, rows in output.records.items()} == dict.fromkeys(
        NAMES[: NAMES.index("badges")], ROWS
    )


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
    ("fault", "on_stream_error"),
    [(fault, "continue") for fault in FAULTS] + [("query fails always", "abort")],
)
def test_output_for_any_limit_is_the_same(fault: str, on_stream_error: str) -> None:
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
            )
            outputs.append(output_of(config))
    assert outputs[0] == outputs[1] == outputs[2]
    lines, error = outputs[0]
    messages = [json.loads(line) for line in lines.splitlines()]
    rows = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    complete = [name for name in NAMES if rows[name] == ROWS]
    states = [message["value"]["bookmarks"] for message in messages if message["type"] == "STATE"]
    moved = [name for name, entry in states[-1].items() if "replication_key_value" in entry]
    if fault in {"none", "query fails once"}:
        assert error == ""
        assert complete == moved == NAMES
    else:
        assert error.startswith(f"Stream '{BAD}': ")
        position = NAMES.index(BAD)
        after = NAMES[position + 1 :] if on_stream_error == "continue" else []
        assert complete == moved == NAMES[:position] + after
        assert set(rows) - set(complete) <= {BAD}
