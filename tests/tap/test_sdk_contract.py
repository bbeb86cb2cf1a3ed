"""What the SDK expects of the tap, and what the tap relies on in the SDK.

Each override of an SDK internal has a test that fails when the SDK no longer calls it: here, or in
the module that the comment of the override names.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.tap import TapCampusGroups
from tests.support.harness import catalog_of, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from tests.simulator import Simulator

ROW_BY_ROW = {"flattening_enabled": True, "flattening_max_depth": 1}
"""Settings with which the SDK processes each record."""

each_path = pytest.mark.parametrize("more", [{}, ROW_BY_ROW], ids=["whole pages", "row by row"])


def tap_for(simulator: Simulator, **more: Any) -> TapCampusGroups:
    """Return a tap with one selected stream."""
    config = settings_for(simulator, page_size=2, **more)
    return TapCampusGroups(config=config, catalog=catalog_of(["events"]))


def stream_of(tap: TapCampusGroups) -> CampusGroupsStream:
    """Return the selected stream."""
    stream = tap.streams["events"]
    assert isinstance(stream, CampusGroupsStream)
    return stream


def written_by(call: Callable[[], object]) -> list[dict[str, Any]]:
    """Return the messages that a call writes."""
    output = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(output, encoding="utf-8")) as text:
        call()
        text.flush()
        text.detach()
    return [json.loads(line) for line in output.getvalue().splitlines()]


def ids(rows: Iterable[dict[str, Any]]) -> list[int]:
    """Return the ids of rows or records, sorted."""
    return sorted(int(row["id"]) for row in rows)


@each_path
def test_get_records_yields_every_row_and_writes_nothing(
    simulator: Simulator, more: dict[str, Any]
) -> None:
    tap = tap_for(simulator, **more)
    records: list[dict[str, Any]] = []
    assert written_by(lambda: records.extend(stream_of(tap).get_records(None))) == []
    assert ids(records) == ids(simulator.dataset["events"])
    assert tap.state == {}


@each_path
def test_sync_without_messages_yields_every_record_and_writes_nothing(
    simulator: Simulator, more: dict[str, Any]
) -> None:
    stream = stream_of(tap_for(simulator, **more))
    records: list[dict[str, Any]] = []

    def sync() -> None:
        records.extend(stream._sync_records(None, write_messages=False))  # noqa: SLF001

    assert written_by(sync) == []
    assert ids(records) == ids(simulator.dataset["events"])
    assert {record["_extra"] for record in records if not record["_extra"]} <= {None}


@each_path
def test_sync_writes_every_row(simulator: Simulator, more: dict[str, Any]) -> None:
    tap = tap_for(simulator, **more)
    messages = written_by(tap.sync_all)
    assert Counter(message["type"] for message in messages) == {
        "SCHEMA": 1,
        "RECORD": len(simulator.dataset["events"]),
        "STATE": 1,
    }
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    assert ids(records) == ids(simulator.dataset["events"])
    assert messages[-1]["type"] == "STATE"


def test_sync_calls_our_override_of_sync_records(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`_sync_records` is internal to the SDK."""
    calls: list[tuple[str, bool]] = []

    def sync_records(
        stream: CampusGroupsStream, context: object = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        assert context is None
        calls.append((stream.name, write_messages))
        yield from ()

    monkeypatch.setattr(CampusGroupsStream, "_sync_records", sync_records)
    written_by(tap_for(simulator).sync_all)
    assert calls == [("events", True)]


def test_dry_run_of_sdk_stops_at_its_record_limit(simulator: Simulator) -> None:
    """`_check_max_record_limit` is internal to the SDK."""
    tap = tap_for(simulator)
    messages = written_by(tap.run_connection_test)
    records = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    assert records == dict.fromkeys(tap.streams, 1)


def test_invoke_calls_our_override_of_sync_all(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sync_all` is final in the SDK."""
    calls: list[TapCampusGroups] = []

    def sync_all(tap: TapCampusGroups) -> None:
        calls.append(tap)

    monkeypatch.setattr(TapCampusGroups, "sync_all", sync_all)
    config = settings_for(simulator)
    for name, value in config.items():
        monkeypatch.setenv(f"TAP_CAMPUSGROUPS_{name.upper()}", str(value))
    with pytest.raises(SystemExit) as ended:
        TapCampusGroups.cli(["--config", "ENV"])
    assert ended.value.code == 0
    assert len(calls) == 1
