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
from tap_campusgroups.tap import ROUTINE_LINES, TapCampusGroups
from tests.support.harness import catalog_of, each_path, environment_for, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from tests.simulator import Simulator


def tap_for(simulator: Simulator, **more: Any) -> TapCampusGroups:
    """Return a tap with one selected stream."""
    config = settings_for(simulator, page_size=2, **more)
    return TapCampusGroups(config=config, catalog=catalog_of(["events"]))


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
@pytest.mark.parametrize("read", ["get_records", "_sync_records"])
def test_reading_records_yields_every_row_and_writes_nothing(
    simulator: Simulator, more: dict[str, Any], read: str
) -> None:
    """The SDK reads the records of a batch with `_sync_records`."""
    stream = tap_for(simulator, **more).streams["events"]
    options = {"write_messages": False} if read == "_sync_records" else {}
    records: list[dict[str, Any]] = []
    assert written_by(lambda: records.extend(getattr(stream, read)(None, **options))) == []
    assert ids(records) == ids(simulator.dataset["events"])


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
    for name, value in environment_for(simulator).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        TapCampusGroups.cli(["--config", "ENV"])
    assert ended.value.code == 0
    assert len(calls) == 1


def test_routine_lines_of_the_sdk_are_debug(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    def levels() -> dict[str, set[str]]:
        caplog.clear()
        tap = tap_for(simulator)
        written_by(tap.sync_all)
        TapCampusGroups(config=settings_for(simulator), parse_env_config=True)
        texts = (*ROUTINE_LINES, "Beginning sync of '%s' in %s mode")
        found = {
            text: {one.levelname for one in caplog.records if one.msg == text} for text in texts
        }
        assert len(found) == 4
        return found

    caplog.set_level("DEBUG")
    assert set(map(frozenset, levels().values())) == {frozenset({"DEBUG"})}
    caplog.set_level("INFO")
    assert not any(levels().values())
