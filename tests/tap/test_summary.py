"""The summary at the end of a run, and the check that every row was emitted or reported."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.exceptions import ExportFailedError, StreamError, StreamsFailedError
from tap_campusgroups.records import json_codec
from tests.simulator import Dataset, FailQuery, Simulator, Status
from tests.support.exports import submitted
from tests.support.harness import (
    NEWEST,
    ROW_BY_ROW,
    STARTED,
    canonical,
    catalog_of,
    each_path,
    environment_for,
    only,
    settings_for,
    state_of,
    structured_logging,
    sync,
)
from tests.support.messages import SUMMARY
from tests.support.processes import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.fake_time import FakeTime
    from tests.support.harness import Output

DAY = timedelta(days=1)
STREAMS = ("badges", "rooms", "tags")
ROWS = 12


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A service with a dozen rows of three streams in ten days."""
    dataset = Dataset(dict.fromkeys(STREAMS, ROWS), newest=NEWEST, span=10 * DAY)
    with Simulator(dataset) as simulator:
        yield simulator


# Reading a summary


def summaries(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the log records of summaries."""
    return [record for record in caplog.records if SUMMARY in record.getMessage()]


def cells(record: logging.LogRecord, stream: str) -> list[str]:
    """Return a stream's cells in the table of a summary."""
    lines = (line.split() for line in record.getMessage().splitlines())
    return next(line for line in lines if line[0] == stream)


def figures(record: logging.LogRecord) -> dict[str, dict[str, Any]]:
    """Return the figures of a summary by stream."""
    streams: list[dict[str, Any]] = vars(record)["streams"]
    return {one["stream"]: one for one in streams}


# Contents


def test_summary_has_one_line_per_stream_and_the_figures_of_the_run(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = Dataset({"badges": ROWS, "rooms": 1500}, newest=NEWEST, span=10 * DAY)
    with Simulator(dataset, clock=fake_time.monotonic) as simulator:
        simulator.inject(FailQuery().on("badges", "first_page", after=3))
        simulator.inject(Status(503).on("rooms", "first_page", times=2))
        simulator.dataset["rooms"][3]["capacity"] = "many"
        for row in simulator.dataset["rooms"][5:8]:
            row["shoeSize"] = 44
        start = (NEWEST - 10 * DAY).isoformat()
        config = settings_for(
            simulator,
            start_date=start,
            export_window_days=2,
            max_concurrent_exports=1,  # another window could fail first; the last one is not halved
        )
        output = sync(config, *STREAMS)
        assert output.error is None
        exports = Counter(submitted(simulator))
    (record,) = summaries(caplog)
    assert record.levelno == logging.INFO
    streams = figures(record)
    assert list(streams) == list(STREAMS)
    assert [cells(record, stream)[1:-2] for stream in STREAMS] == [
        ["12", str(exports["badges"]), "6/6", "2", "0", "0", "2025-06-01T12:00:00"],
        ["1,500", "6", "6/6", "0", "2", "4", "2025-06-01T12:00:00"],
        ["0", "6", "6/6", "0", "0", "0"],
    ]
    for stream in STREAMS:
        emitted = output.records.get(stream, [])
        assert streams[stream]["rows"] == len(emitted)
        assert streams[stream]["exports"] == exports[stream]
        # Ten days and an hour.
        assert (streams[stream]["windows"], streams[stream]["windows_done"]) == (6, 6)
        newest = max((one["updatedOn"] for one in emitted), default=None)
        assert streams[stream]["newest"] == newest
        assert streams[stream]["error"] is None
    assert [streams[stream]["resubmissions"] for stream in STREAMS] == [2, 0, 0]
    assert [streams[stream]["retries"] for stream in STREAMS] == [0, 2, 0]
    hours = (datetime.now(UTC) - NEWEST) / timedelta(hours=1)
    assert streams["badges"]["age_hours"] == pytest.approx(hours, abs=1)
    assert streams["tags"]["age_hours"] is None
    assert streams["rooms"]["type_mismatches"] == {"capacity": 1}
    assert streams["rooms"]["unknown"] == {"shoeSize": {"count": 3, "type": "integer"}}
    total = sum(one["rows"] for one in streams.values())
    assert vars(record)["rows"] == total
    assert total > 1500
    first = record.getMessage().splitlines()[0]
    assert first.startswith(f"{SUMMARY}3/3 streams, {total:,} rows, ")


@pytest.mark.parametrize(
    ("choice", "values", "suggestion"),
    [
        ("ignore", [7, None], "integer"),
        ("capture", [7, 1.5], "number"),
        ("capture", [True], "boolean"),
        ("ignore", ["2025-01-01T00:00:00Z"], "date-time"),
        ("capture", ["2025-01-01T00:00:00Z", "soon"], "string"),
        ("capture", [7, "soon"], "string"),
        ("capture", [{"a": 1}], "object"),
        ("capture", [[1]], "array"),
        ("capture", [None], "null"),
    ],
    ids=repr,
)
def test_unknown_field_is_listed_with_a_suggested_type_and_how_it_was_handled(
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    choice: str,
    values: list[Any],
    suggestion: str,
) -> None:
    for row, value in zip(simulator.dataset["rooms"], values, strict=False):
        row["shoeSize"] = value
    output = sync(settings_for(simulator, unknown_fields=choice), "rooms")
    assert output.error is None
    (record,) = summaries(caplog)
    unknown = {"shoeSize": {"count": len(values), "type": suggestion}}
    assert figures(record)["rooms"]["unknown"] == unknown
    words = "kept in _extra" if choice == "capture" else "dropped"
    assert record.getMessage().splitlines()[3] == (
        f"  rooms: field shoeSize is not in the schema: {len(values)} "
        f"value{'s' * (len(values) > 1)}, {words}; suggested type: {suggestion}"
    )
    extras = [one["_extra"] for one in output.records["rooms"] if one["_extra"]]
    assert len(extras) == (len(values) if choice == "capture" else 0)


DROPPING: dict[str, tuple[dict[str, Any], list[str]]] = {
    "captured": ({}, []),
    "ignored": ({"unknown_fields": "ignore"}, ["shoeSize"]),
    "null": ({"stream_maps": {"rooms": {"_extra": None}}}, ["shoeSize", "capacity"]),
    "masked": ({"stream_maps": {"rooms": {"_extra": "__NULL__"}}}, ["shoeSize", "capacity"]),
    "else": (
        {"stream_maps": {"rooms": {"id": "id", "__else__": None}}},
        ["shoeSize", "capacity"],
    ),
    "else with _extra": (
        {"stream_maps": {"rooms": {"id": "id", "_extra": "_extra", "__else__": None}}},
        [],
    ),
    "other rule": ({"stream_maps": {"rooms": {"name": "name"}}}, []),
    "copy": ({"stream_maps": {"rooms": {"_extra": None}, "x": {"__source__": "rooms"}}}, []),
    "deselected": ({}, ["shoeSize", "capacity"]),
    "deselected field": ({}, ["capacity"]),
    "not in the catalog": ({}, ["shoeSize", "capacity"]),
    "flattened": (ROW_BY_ROW, []),
}


@pytest.mark.parametrize("name", DROPPING)
def test_summary_calls_only_values_kept_that_are_in_the_output(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    config, dropped = DROPPING[name]
    simulator.dataset["rooms"][0] |= {"shoeSize": "sentinel-1", "capacity": "sentinel-2"}
    catalog = only("rooms")
    (entry,) = catalog["streams"]
    if name == "not in the catalog":
        del entry["schema"]["properties"]["_extra"]
    path = {"deselected": "_extra", "deselected field": "capacity"}.get(name)
    for one in entry["metadata"]:
        if one["breadcrumb"][1:] == [path]:
            one["metadata"]["selected"] = False
    output = sync(settings_for(simulator, **config), catalog=catalog)
    assert output.error is None
    values = {"shoeSize": "sentinel-1", "capacity": "sentinel-2"}
    assert [field for field in values if values[field] not in output.text] == dropped
    (record,) = summaries(caplog)
    lines = [line for line in record.getMessage().splitlines() if line.startswith("  rooms: ")]
    said = {line.split()[2]: "dropped" in line for line in lines}
    assert said == {field: field in dropped for field in values}
    assert all(("kept in _extra" in line) != ("dropped" in line) for line in lines)


# Failures


@pytest.mark.usefixtures("impatient")
def test_streams_that_fail_before_an_export_was_accepted_are_in_a_summary(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(Status(404).on(None, "submit", times=None))
    output = sync(settings_for(simulator), *STREAMS)
    assert "3 of 3 streams failed" in str(output.error)
    assert "See the summary above" in str(output.error)
    (record,) = summaries(caplog)
    assert record.getMessage().startswith(f"{SUMMARY}0/3 streams, 0 rows, ")
    assert record.getMessage().count("  FAILED: Stream '") == 3


def test_run_without_a_request_has_a_summary(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The bookmark is later than `end_date` plus the lookback."""
    config = settings_for(simulator, end_date=(NEWEST - 5 * DAY).isoformat())
    output = sync(config, "rooms", state=state_of(rooms=canonical(NEWEST)))
    assert (output.error, simulator.requests) == (None, [])
    assert [one.getMessage().split(", ")[0] for one in summaries(caplog)] == [
        f"{SUMMARY}1/1 streams"
    ]


@pytest.mark.usefixtures("impatient")
def test_failures_are_the_last_lines_of_the_summary(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    for stream in ("badges", "rooms"):
        simulator.inject(FailQuery().on(stream, times=None))
    simulator.dataset["tags"][0]["shoeSize"] = 44
    output = sync(settings_for(simulator), *STREAMS)
    assert isinstance(output.error, StreamsFailedError)
    assert "2 of 3 streams failed: badges, rooms." in str(output.error)
    (record,) = summaries(caplog)
    assert record.levelno == logging.WARNING
    lines = record.getMessage().splitlines()
    assert lines[0].startswith(f"{SUMMARY}1/3 streams, ")
    assert [line.split()[:3] for line in lines[-2:]] == [
        ["FAILED:", "Stream", "'badges':"],
        ["FAILED:", "Stream", "'rooms':"],
    ]
    assert "shoeSize" in lines[-3]
    assert vars(record)["failed"] == ["badges", "rooms"]
    assert figures(record)["tags"]["rows"] == ROWS
    assert figures(record)["tags"]["error"] is None
    assert "Stream 'badges'" in figures(record)["badges"]["error"]


@pytest.mark.usefixtures("impatient")
def test_summary_of_aborted_run_counts_only_complete_streams(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(FailQuery().on("rooms", times=None))
    output = sync(settings_for(simulator, on_stream_error="abort"), *STREAMS)
    assert isinstance(output.error, ExportFailedError)
    (record,) = summaries(caplog)
    assert record.getMessage().startswith(f"{SUMMARY}1/3 streams, ")
    assert [figures(record)[stream]["windows_done"] for stream in STREAMS] == [1, 0, 0]
    assert record.getMessage().splitlines()[-1].startswith("  FAILED: Stream 'rooms'")


@pytest.mark.parametrize("stream", STREAMS)
def test_stream_with_an_empty_range_is_in_the_summary(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, stream: str
) -> None:
    """Its bookmark is later than `end_date` plus the lookback."""
    config = settings_for(simulator, end_date=(NEWEST - 5 * DAY).isoformat())
    output = sync(config, *STREAMS, state=state_of(**{stream: canonical(NEWEST)}))
    assert output.error is None
    (record,) = summaries(caplog)
    assert list(figures(record)) == list(STREAMS)
    assert cells(record, stream)[3] == "0/0"


def test_structured_log_of_a_process_has_the_figures_of_the_table(
    simulator: Simulator, tmp_path: Path
) -> None:
    simulator.dataset["rooms"][3]["capacity"] = "many"
    simulator.dataset["rooms"][4]["shoeSize"] = "sentinel"
    simulator.dataset["badges"][4]["id"] = None
    simulator.inject(FailQuery().on("badges", "first_page"))
    (tmp_path / "catalog.json").write_text(json.dumps(catalog_of(STREAMS)))
    done = run(
        *("--config", "ENV", "--catalog", tmp_path / "catalog.json"),
        SINGER_SDK_LOG_CONFIG=structured_logging(tmp_path),
        **environment_for(simulator),
    )
    assert done.returncode == 1
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    assert [one["level"] for one in logged].count("error") == 1
    assert logged[-1]["message"].endswith("Report it to CampusGroups.")
    assert not any("METRIC" in one["message"] for one in logged)
    (record,) = [one for one in logged if SUMMARY in one["message"]]
    extra = record["extra"]
    streams = {one["stream"]: one for one in extra["streams"]}
    assert (extra["rows"], extra["failed"]) == (3 * ROWS, ["badges"])
    assert extra["seconds"] > 0
    assert streams["badges"]["resubmissions"] == 2
    assert streams["rooms"]["type_mismatches"] == {"capacity": 1}
    assert streams["rooms"]["unknown"] == {"shoeSize": {"count": 1, "type": "string"}}
    assert (streams["badges"]["rows"], streams["badges"]["rows_without_key"]) == (ROWS, 1)
    assert "sentinel" not in done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    emitted = [one["stream"] for one in messages if one["type"] == "RECORD"]
    assert [emitted.count(stream) for stream in STREAMS] == [ROWS - 1, ROWS, ROWS]
    (*_, state) = [one["value"]["bookmarks"] for one in messages if one["type"] == "STATE"]
    assert state.get("badges", {}).get("replication_key_value") is None
    assert state["tags"]["replication_key_value"] >= canonical(NEWEST)


# Received and emitted rows

OLD = "2025-05-20T00:00:00.000000Z"
RECORD_LINES = "tap_campusgroups.client.record_lines"
"""The function that formats a page; nothing public makes the tap lose a row."""


def check_stuck(output: Output, stream: str) -> None:
    """Check that a stream's bookmark never moved and that the other streams are complete."""
    assert {state["bookmarks"][stream]["replication_key_value"] for state in output.states} == {OLD}
    others = set(STREAMS) - {stream}
    assert {output.bookmarks[other] for other in others} == {canonical(NEWEST)}
    assert {len(output.records[other]) for other in others} == {ROWS}


def fail_with_a_value(lines: list[bytes]) -> list[bytes]:
    """Raise an error that quotes a value."""
    message = f"quotes Jane Sentinel of {len(lines)} rows"
    raise RuntimeError(message)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: lines[:-1], r"12 rows received, 11 emitted.*"),
        (lambda lines: [*lines, lines[-1]], r"12 rows received, 13 emitted.*"),
        (
            fail_with_a_value,
            r"unexpected RuntimeError in test_summary\.py, line \d+ \(fail_with_a_value\)\. .*",
        ),
    ],
    ids=["lost", "repeated", "bug"],
)
def test_bookmark_does_not_move_if_a_bug_loses_or_repeats_rows(
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[list[bytes]], list[bytes]],
    problem: str,
) -> None:
    original = json_codec.record_lines

    def record_lines(stream: str, *args: Any, **options: Any) -> bytes:
        lines = original(stream, *args, **options)
        return b"".join(change(lines.splitlines(keepends=True))) if stream == "rooms" else lines

    monkeypatch.setattr(RECORD_LINES, record_lines)
    output = sync(settings_for(simulator), *STREAMS, state=state_of(rooms=OLD))
    assert isinstance(output.error, StreamError)
    assert re.fullmatch(f"Stream 'rooms': {problem}", str(output.error))
    check_stuck(output, "rooms")
    assert "Sentinel" not in caplog.text


def test_bookmark_does_not_move_if_the_sdk_loses_a_row(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, lost = CampusGroupsStream.post_process, simulator.dataset["rooms"][5]["id"]

    def post_process(stream: CampusGroupsStream, row: Any, context: Any = None) -> Any:
        record = original(stream, row, context)
        return None if (stream.name, row["id"]) == ("rooms", lost) else record

    monkeypatch.setattr(CampusGroupsStream, "post_process", post_process)
    output = sync(settings_for(simulator, **ROW_BY_ROW), *STREAMS, state=state_of(rooms=OLD))
    assert isinstance(output.error, StreamError)
    assert f"{ROWS} rows received, {ROWS - 1} emitted" in str(output.error)
    check_stuck(output, "rooms")


def test_bookmark_is_that_of_the_window_before_a_lost_row(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = json_codec.record_lines, iter(range(100))

    def record_lines(stream: str, *args: Any, **options: Any) -> bytes:
        lines = original(stream, *args, **options)
        return lines if next(calls) < 3 else b""

    monkeypatch.setattr(RECORD_LINES, record_lines)
    rows = simulator.dataset["rooms"]
    for day, row in enumerate(rows):  # one a day, so that every window has a page with a row
        row["updatedOn"] = canonical(STARTED - (12 - day) * DAY + timedelta(hours=1))
    start = (STARTED - 12 * DAY).replace(microsecond=0)
    config = settings_for(simulator, start_date=start.isoformat(), export_window_days=1)
    output = sync(config, "rooms")
    assert isinstance(output.error, StreamError)
    assert output.bookmarks == {"rooms": canonical(start + 3 * DAY)}
    assert str(output.error).startswith("Stream 'rooms': 4 rows received, 3 emitted")


@each_path
@pytest.mark.parametrize("ids", [[None], [...], ["x"], [[1]], [None, ..., "x", [1]]], ids=repr)
def test_rows_without_an_id_are_skipped_and_counted_and_fail_the_stream(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, ids: list[Any], more: Mapping[str, Any]
) -> None:
    for row, value in zip(simulator.dataset["rooms"], [*ids, 0, "7000"], strict=False):
        row["id"] = value
        if value is ...:
            del row["id"]
    output = sync(settings_for(simulator, **more), *STREAMS, state=state_of(rooms=OLD))
    assert isinstance(output.error, StreamError)
    count = f"{len(ids)} row{'s' * (len(ids) > 1)}"
    assert f"Stream 'rooms': {count} of " in str(output.error)
    assert " without a usable id skipped; all others were emitted. " in str(output.error)
    emitted = [record["id"] for record in output.records["rooms"]]
    assert len(emitted) == ROWS - len(ids)
    assert {0, 7000} < set(emitted)
    check_stuck(output, "rooms")
    (record,) = summaries(caplog)
    rooms = figures(record)["rooms"]
    assert (rooms["rows"], rooms["rows_without_key"]) == (ROWS, len(ids))
    assert f"  rooms: {count} without a usable id, skipped" in record.getMessage().splitlines()
