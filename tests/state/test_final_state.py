"""A run that emitted records ends with STATE: a target may forget a state that records follow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import ExportFailedError, OutputError
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Hang, JsonBody
from tests.support.harness import catalog_of, settings_for, state_of, sync, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator import Simulator

AHEAD = "2025-06-01T12:30:00.000000Z"
"""A bookmark after every row of the simulator: no run moves it, and each finds rows again."""

MOVING, QUIET = "events", "rooms"
"""Streams in the order of their names, so the quiet one is the last of a run."""

EVERY_ROW = {"page_size": 1, "lookback_hours": 24 * 365}
"""Settings with which a run reads every row of the simulator again, one per page."""

ROW_BY_ROW = {"flattening_enabled": True, "flattening_max_depth": 1}
each_path = pytest.mark.parametrize("more", [{}, ROW_BY_ROW], ids=["whole pages", "row by row"])


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    """List the types of messages, repeated ones once."""
    types = [message["type"] for message in messages]
    return [kind for kind, before in zip(types, ["", *types], strict=False) if kind != before]


@each_path
def test_run_whose_bookmarks_do_not_move_ends_with_state(
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
    """A SCHEMA between the last RECORD and the end does not bring the state back."""
    simulator.dataset[QUIET].clear()
    state = state_of(events=AHEAD, rooms=AHEAD)
    output = sync(config, MOVING, QUIET, state=state)
    assert kinds(output.messages) == ["STATE", "SCHEMA", "RECORD", "SCHEMA", "STATE"]
    assert output.states == [state, state]


def test_run_that_moves_a_bookmark_writes_its_state_once(config: dict[str, Any]) -> None:
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
def test_run_of_which_the_last_stream_fails_ends_with_state(
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


def test_first_run_that_fails_ends_with_an_empty_state(
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


# The installed command


def command(folder: Path, state: Mapping[str, Any], *streams: str) -> list[str | Path]:
    """Write a state and a catalog; return the command of a run with them."""
    files = {"state": folder / "state.json", "catalog": folder / "catalog.json"}
    files["state"].write_text(json.dumps(state))
    files["catalog"].write_text(json.dumps(catalog_of(streams)))
    return [
        Path(sys.executable).with_name("tap-campusgroups"),
        *("--config", "ENV", "--catalog", files["catalog"], "--state", files["state"]),
    ]


def variables(config: Mapping[str, Any]) -> dict[str, str]:
    """Make the environment of a run."""
    names = {f"TAP_CAMPUSGROUPS_{name.upper()}": str(value) for name, value in config.items()}
    return {**os.environ, **names}


@each_path
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_run_that_a_signal_ends_ends_with_state(
    simulator: Simulator, tmp_path: Path, number: signal.Signals, more: Mapping[str, Any]
) -> None:
    state = state_of(rooms=AHEAD)
    simulator.inject(Hang().on(QUIET, "later_page", times=None))
    with subprocess.Popen(
        command(tmp_path, state, QUIET),
        env=variables(settings_for(simulator, **EVERY_ROW, **more)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            assert json.loads(lines[-1])["type"] == "RECORD"
            wait_until(lambda: simulator.hanging > 0)
            process.send_signal(number)
            rest, log = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + number, log
    assert b"Traceback" not in log
    assert [json.loads(line) for line in rest.splitlines()] == [{"type": "STATE", "value": state}]


def test_run_whose_target_is_gone_writes_nothing_more(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line may be incomplete: a STATE would not begin a new one."""
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
