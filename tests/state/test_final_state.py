"""A run that emitted records ends with STATE: some targets forget a state that records follow."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import ExportFailedError, OutputError
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Hang, JsonBody
from tests.support.harness import (
    ROW_BY_ROW,
    catalog_of,
    only,
    settings_for,
    state_of,
    sync,
    wait_until,
)
from tests.support.tap_process import EXIT_CODES, TapProcess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.simulator import Simulator

AHEAD = "2025-06-01T12:30:00.000000Z"
"""A bookmark after every row of the simulator: runs do not move it but read rows again."""

MOVING, QUIET = "events", "rooms"
"""The streams in the order of their sync."""

EVERY_ROW = {"page_size": 1, "lookback_hours": 24 * 365}
"""Settings with which a run reads every row again, one per page."""

each_path = pytest.mark.parametrize("more", [{}, ROW_BY_ROW], ids=["whole pages", "row by row"])


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    """Return the types of messages without repetitions."""
    types = [message["type"] for message in messages]
    return [kind for kind, before in zip(types, ["", *types], strict=False) if kind != before]


@each_path
def test_run_that_moves_no_bookmark_ends_with_state(
    config: dict[str, Any], more: Mapping[str, Any]
) -> None:
    state = state_of(rooms=AHEAD)
    output = sync({**config, **more}, QUIET, state=state)
    assert output.error is None
    assert kinds(output.messages) == ["STATE", "SCHEMA", "RECORD", "STATE"]
    assert output.states == [state, state]


def test_run_whose_last_stream_is_empty_ends_with_state(
    simulator: Simulator, config: dict[str, Any]
) -> None:
    """After the last RECORD there is only a SCHEMA."""
    simulator.dataset[QUIET].clear()
    state = state_of(events=AHEAD, rooms=AHEAD)
    output = sync(config, MOVING, QUIET, state=state)
    assert kinds(output.messages) == ["STATE", "SCHEMA", "RECORD", "SCHEMA", "STATE"]
    assert output.states == [state, state]


def test_run_that_moves_a_bookmark_writes_the_state_once(config: dict[str, Any]) -> None:
    output = sync(config, QUIET)
    assert kinds(output.messages) == ["SCHEMA", "RECORD", "STATE"]
    assert len(output.states) == 1


def test_run_without_records_does_not_repeat_the_state(
    simulator: Simulator, config: dict[str, Any]
) -> None:
    simulator.dataset[QUIET].clear()
    output = sync(config, QUIET, state=state_of(rooms=AHEAD))
    assert kinds(output.messages) == ["STATE", "SCHEMA"]


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


def test_sync_without_messages_writes_no_state(
    config: dict[str, Any], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    tap = TapCampusGroups(config=config, catalog=catalog_of([QUIET]), state=state_of(rooms=AHEAD))
    stream = tap.streams[QUIET]
    assert list(stream._sync_records(None, write_messages=False))  # noqa: SLF001
    tap._write_last_state()  # noqa: SLF001
    assert capfdbinary.readouterr().out == b""


@each_path
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_run_ended_by_a_signal_ends_with_state(
    simulator: Simulator, tmp_path: Path, number: signal.Signals, more: Mapping[str, Any]
) -> None:
    state = state_of(rooms=AHEAD)
    simulator.inject(Hang().on(QUIET, "later_page", times=None))
    config = settings_for(simulator, **EVERY_ROW, **more)
    with TapProcess(tmp_path, config, catalog=only(QUIET), state=state) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        assert json.loads(lines[-1])["type"] == "RECORD"
        wait_until(lambda: simulator.hanging > 0)
        process.send(number)
        rest, code = process.rest(), process.wait()
    assert code == EXIT_CODES[number]
    assert "Traceback" not in process.log
    assert [json.loads(line) for line in rest.splitlines()] == [{"type": "STATE", "value": state}]


def test_run_with_a_closed_output_pipe_writes_no_state(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line may be incomplete, and a STATE would continue it."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stdout:  # noqa: PTH123 - a file descriptor
        monkeypatch.setattr(sys, "stdout", stdout)
        tap = TapCampusGroups(
            config=settings_for(simulator), catalog=catalog_of([QUIET]), state=state_of(rooms=AHEAD)
        )
        with pytest.raises(OutputError, match="Output pipe closed"):
            tap.sync_all()
        assert not tap.message_writer.is_state_due  # type: ignore[attr-defined]
        with pytest.raises(BrokenPipeError):
            stdout.close()
