"""Runs of three streams of which the middle one has a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_campusgroups.exceptions import CampusGroupsError
from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, settings_for, state_of, sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from tests.simulator import RecordedRequest
    from tests.support.harness import Output

BEFORE, FAULTY, AFTER = "groups", "members", "tags"
"""The streams in the order of their sync."""

ROWS = {BEFORE: 4, FAULTY: 16, AFTER: 4}
PAGE_SIZE = 3
OLD = "2024-06-01T00:00:00.000000Z"
"""The bookmarks before a run."""

NEW = "2025-06-01T12:00:00.250000Z"
"""The bookmarks after a complete run: the newest row."""

STATE = state_of(**dict.fromkeys(ROWS, OLD))


def make_dataset(span: timedelta) -> Dataset:
    """Return rows of the three streams that end with the newest row and cannot be changed."""
    dataset = Dataset(ROWS, newest=NEWEST, span=span)
    dataset.freeze()
    return dataset


def sync_three(simulator: Simulator, state: Mapping[str, Any] = STATE, **more: Any) -> Output:
    """Sync the three streams."""
    config = settings_for(simulator, **{"page_size": PAGE_SIZE, **more})
    return sync(config, *ROWS, state=state)


def sync_without_faults(dataset: Dataset) -> Output:
    """Sync the three streams from a service without faults; check that every row arrives once."""
    with Simulator(dataset) as simulator:
        output = sync_three(simulator)
    assert output.error is None
    for stream, count in ROWS.items():
        assert ids(output.records[stream]) == list(range(1, count + 1))
    return output


def by_id(records: list[dict[str, Any]]) -> dict[int, Any]:
    """Return records by id; the last one counts."""
    return {record["id"]: record for record in records}


def ids(records: list[dict[str, Any]]) -> list[int]:
    """Return the sorted ids of records."""
    return sorted(record["id"] for record in records)


def result(output: Output, complete: Output) -> str:
    """Return how the stream with the fault ended: "complete", "failed" or "WRONG".

    Args:
        output: The output.
        complete: The output of a run without faults.
    """
    bookmarks = {state["bookmarks"][FAULTY]["replication_key_value"] for state in output.states}
    rows = by_id(output.records.get(FAULTY, []))
    is_whole = rows == by_id(complete.records[FAULTY])
    if output.error is None and is_whole and output.bookmarks[FAULTY] == NEW:
        return "complete"
    # The command line turns the tap's own errors into exit code 1.
    if isinstance(output.error, CampusGroupsError) and bookmarks == {OLD}:
        return "failed"
    return "WRONG"


def submissions(simulator: Simulator, stream: str = FAULTY) -> list[RecordedRequest]:
    """Return the submissions of a stream."""
    return [one for one in simulator.requests if (one.method, one.stream) == ("POST", stream)]
