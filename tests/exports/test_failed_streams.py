"""Streams that fail: the other streams, the summary, the exit code, and the paths of endpoints."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import AccessDeniedError, ExportFailedError
from tests.simulator import Dataset, FailQuery, FaultType, Simulator, Status
from tests.support import messages
from tests.support.exports import NAMES
from tests.support.harness import NEWEST, settings_for, state_of, sync
from tests.support.processes import run
from tests.support.three_streams import AFTER, BEFORE, FAULTY, NEW, OLD, by_id, ids, sync_three

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_time import FakeTime

ROWS = 4
STATE = state_of(**dict.fromkeys(NAMES, OLD))


@cache
def dataset() -> Dataset:
    """Return a few rows per stream, all of them after the bookmarks."""
    made = Dataset(ROWS, newest=NEWEST, span=timedelta(days=365))
    made.freeze()
    return made


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """A service on fake time."""
    with Simulator(dataset(), clock=fake_time.monotonic) as simulator:
        yield simulator


# Denied access


def test_403_on_the_first_two_streams_ends_the_run(simulator: Simulator) -> None:
    simulator.inject(Status(403).on(times=None))
    output = sync(settings_for(simulator), state=STATE)
    assert isinstance(output.error, AccessDeniedError)
    assert f"Stream '{NAMES[1]}': {messages.DENIED}403" in str(output.error)
    assert [request.stream for request in simulator.requests] == NAMES[:2]
    assert output.records == {}
    assert set(output.bookmarks.values()) == {OLD}


@pytest.mark.parametrize(
    ("code", "place"),
    # A 401 on the first stream is about the secret.
    [(401, 1), (403, 0), (403, 22), (404, 0), (404, 22)],
)
def test_denied_or_missing_stream_does_not_stop_the_others(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, code: int, place: int
) -> None:
    denied = NAMES[place]
    simulator.inject(Status(code).on(denied, times=None))
    simulator.paths[denied] = "elsewhere" if code == 404 else denied
    output = sync(settings_for(simulator), state=STATE)
    assert isinstance(output.error, ExportFailedError if code == 404 else AccessDeniedError)
    assert f"Stream '{denied}': " in str(output.error)
    assert f"HTTP {code}" in str(output.error)
    others = [stream for stream in NAMES if stream != denied]
    assert list(output.records) == others
    assert all(ids(records) == list(range(1, ROWS + 1)) for records in output.records.values())
    assert output.bookmarks == dict.fromkeys(others, NEW) | {denied: OLD}
    lines = messages.summary(caplog)
    assert lines[0].startswith(f"{messages.SUMMARY}22/23 streams, {22 * ROWS} rows, ")
    assert lines[-1] == f"  FAILED: {output.error}"
    assert "FAILED" not in "".join(lines[:-1])


@pytest.mark.parametrize("max_concurrent", [1, 4])
@pytest.mark.parametrize(
    "fault_type", [Status(403), Status(404), FailQuery()], ids=["403", "404", "failed query"]
)
def test_failed_stream_with_abort_ends_the_run(
    simulator: Simulator, fault_type: FaultType, max_concurrent: int
) -> None:
    fault = simulator.inject(fault_type.on(FAULTY, times=None))
    output = sync_three(simulator, on_stream_error="abort", max_concurrent_exports=max_concurrent)
    assert output.error is not None
    assert fault.fired
    assert set(by_id(output.records[BEFORE])) == set(range(1, ROWS + 1))
    assert output.bookmarks == {BEFORE: NEW, FAULTY: OLD, AFTER: OLD}
    assert AFTER not in {message.get("stream") for message in output.messages}
    if max_concurrent == 1:
        assert AFTER not in {request.stream for request in simulator.requests}


@pytest.mark.parametrize(
    ("fault_type", "times", "stream", "settings", "code", "loaded"),
    [
        (Status(503, headers={"Retry-After": "0"}), 1, "events", {}, 0, 23),
        (Status(404), None, NAMES[11], {}, 1, 22),
        (Status(403), None, NAMES[11], {"on_stream_error": "abort"}, 1, 11),
    ],
    ids=["no stream fails", "stream fails", "stream fails with abort"],
)
def test_exit_code_is_1_if_a_stream_fails(
    tmp_path: Path,
    fault_type: FaultType,
    times: int | None,
    stream: str,
    settings: dict[str, Any],
    code: int,
    loaded: int,
) -> None:
    path = tmp_path / "config.json"
    with Simulator(Dataset(1, newest=NEWEST)) as simulator:
        simulator.inject(fault_type.on(stream, "submit", times=times))
        path.write_text(json.dumps(settings_for(simulator, **settings)))
        done = run("--config", path)
    output = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({one["stream"] for one in output if one["type"] == "RECORD"}) == loaded
    assert done.returncode == code
    *_, last = done.stderr.splitlines()
    if code:
        assert f" ERROR    | tap-campusgroups               | Stream '{stream}': " in last
        assert f"\n  FAILED: Stream '{stream}': " in done.stderr
    else:
        assert " ERROR " not in done.stderr
    assert "Traceback" not in done.stderr


# Paths


@pytest.mark.parametrize(
    ("stream", "other"),
    [("room_reservations", "rooms_reservations"), ("badge_completions", "badges_completions")],
)
def test_stream_after_404_uses_the_other_spelling_of_its_path(
    simulator: Simulator, stream: str, other: str
) -> None:
    simulator.paths[stream] = other
    output = sync(settings_for(simulator), "badges", stream, "rooms", state=STATE)
    paths = [(one.method, one.path.rpartition("/")[2]) for one in simulator.requests]
    assert [path for path in paths if path[1] in {stream, other}][:2] == [
        ("POST", stream),
        ("POST", other),
    ]
    assert output.error is None
    assert ids(output.records[stream]) == list(range(1, ROWS + 1))
