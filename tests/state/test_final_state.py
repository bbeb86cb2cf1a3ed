"""A run that emitted records ends with STATE: some targets forget a state that records follow.

`test_signal_moments` checks it for runs that a signal ends, or whose output fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import ExportFailedError
from tests.simulator import JsonBody
from tests.support.harness import each_path, state_of, sync

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator import Simulator

AHEAD = "2025-06-01T12:30:00.000000Z"
"""A bookmark after every row of the simulator: runs do not move it but read rows again."""

MOVING, QUIET = "events", "rooms"
"""The streams in the order of their sync."""

EVERY_ROW = {"page_size": 1, "lookback_hours": 24 * 365}
"""Settings with which a run reads every row again, one per page."""


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    """Return the types of messages without repetitions."""
    types = [message["type"] for message in messages]
    return [kind for kind, before in zip(types, ["", *types], strict=False) if kind != before]


@each_path
@pytest.mark.parametrize(
    ("streams", "empty", "expected"),
    [
        ((QUIET,), None, ["STATE", "SCHEMA", "RECORD", "STATE"]),
        # After the last RECORD there is only a SCHEMA.
        ((MOVING, QUIET), QUIET, ["STATE", "SCHEMA", "RECORD", "SCHEMA", "STATE"]),
        ((QUIET,), QUIET, ["STATE", "SCHEMA"]),
    ],
    ids=["records", "no records in the last stream", "no records"],
)
def test_run_that_moves_no_bookmark_ends_with_state_if_it_emitted_records(
    simulator: Simulator,
    config: dict[str, Any],
    more: Mapping[str, Any],
    streams: tuple[str, ...],
    empty: str | None,
    expected: list[str],
) -> None:
    if empty:
        simulator.dataset[empty].clear()
    state = state_of(**dict.fromkeys(streams, AHEAD))
    output = sync({**config, **more}, *streams, state=state)
    assert output.error is None
    assert kinds(output.messages) == expected
    assert all(one == state for one in output.states)


@pytest.mark.parametrize("policy", ["continue", "abort"])
@each_path
def test_run_with_failed_last_stream_ends_with_state(
    simulator: Simulator, config: dict[str, Any], policy: str, more: Mapping[str, Any]
) -> None:
    simulator.inject(JsonBody({"message": "hello"}).on(QUIET, "later_page"))
    state = state_of(rooms=AHEAD)
    settings = {**config, **EVERY_ROW, "on_stream_error": policy, **more}
    output = sync(settings, MOVING, QUIET, state=state)
    assert isinstance(output.error, ExportFailedError)
    assert output.records[QUIET]
    assert output.messages[-1]["type"] == "STATE"
    assert output.bookmarks == {MOVING: "2025-06-01T12:00:00.250000Z", QUIET: AHEAD}


def test_failed_first_run_ends_with_an_empty_state(
    simulator: Simulator, config: dict[str, Any]
) -> None:
    simulator.inject(JsonBody({"message": "hello"}).on(QUIET, "later_page"))
    output = sync(config | {"page_size": 1}, QUIET)
    assert output.records[QUIET]
    assert output.messages[-1] == {"type": "STATE", "value": output.states[-1]}
    assert not any(output.states[-1].get("bookmarks", {}).values())
