"""What the SDK expects of a tap, and what this tap relies on in the SDK.

Each override of an SDK internal has a test here, or in the module that its comment names, that
fails when the SDK no longer calls it.
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
"""Settings with which the SDK has something to do with each record."""

each_path = pytest.mark.parametrize("more", [{}, ROW_BY_ROW], ids=["whole pages", "row by row"])


def tap_for(simulator: Simulator, **more: Any) -> TapCampusGroups:
    """Make a tap of which one stream is selected."""
    config = settings_for(simulator, page_size=2, **more)
    return TapCampusGroups(config=config, catalog=catalog_of(["events"]))


def stream_of(tap: TapCampusGroups) -> CampusGroupsStream:
    """Return that stream."""
    stream = tap.streams["events"]
    assert isinstance(stream, CampusGroupsStream)
    return stream


def written(do: Callable[[], object]) -> list[dict[str, Any]]:
    """Do something; return the messages that it writes."""
    output = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(output, encoding="utf-8")) as text:
        do()
        text.flush()
        text.detach()
    return [json.loads(line) for line in output.getvalue().splitlines()]


def ids(rows: Iterable[dict[str, Any]]) -> list[int]:
    """Name rows or records."""
    return sorted(int(row["id"]) for row in rows)


@each_path
def test_get_records_yields_every_row_and_prints_nothing(
    simulator: Simulator, more: dict[str, Any]
) -> None:
    tap = tap_for(simulator, **more)
    records: list[dict[str, Any]] = []
    assert written(lambda: records.extend(stream_of(tap).get_records(None))) == []
    assert ids(records) == ids(simulator.dataset["events"])
    assert tap.state == {}


@each_path
def test_sync_without_messages_yields_every_record_and_prints_nothing(
    simulator: Simulator, more: dict[str, Any]
) -> None:
    stream = stream_of(tap_for(simulator, **more))
    records: list[dict[str, Any]] = []

    def sync() -> None:
        records.extend(stream._sync_records(None, write_messages=False))  # noqa: SLF001

    assert written(sync) == []
    assert ids(records) == ids(simulator.dataset["events"])
    assert {record["_extra"] for record in records if not record["_extra"]} <= {None}


@each_path
def test_sync_writes_what_it_reads(simulator: Simulator, more: dict[str, Any]) -> None:
    tap = tap_for(simulator, **more)
    messages = written(tap.sync_all)
    assert Counter(message["type"] for message in messages) == {
        "SCHEMA": 1,
        "RECORD": len(simulator.dataset["events"]),
        "STATE": 1,
    }
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    assert ids(records) == ids(simulator.dataset["events"])
    assert messages[-1]["type"] == "STATE"


def test_sync_asks_for_records_where_the_tap_writes_them(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`_sync_records` is internal to the SDK."""
    asked: list[tuple[str, bool]] = []

    def sync_records(
        stream: CampusGroupsStream, context: object = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        assert context is None
        asked.append((stream.name, write_messages))
        yield from ()

    monkeypatch.setattr(CampusGroupsStream, "_sync_records", sync_records)
    written(tap_for(simulator).sync_all)
    assert asked == [("events", True)]


def test_dry_run_of_the_sdk_stops_at_its_limit(simulator: Simulator) -> None:
    """`_check_max_record_limit` is internal to the SDK."""
    tap = tap_for(simulator)
    messages = written(tap.run_connection_test)
    records = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    assert records == dict.fromkeys(tap.streams, 1)


def test_invoke_syncs_by_our_override(
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
