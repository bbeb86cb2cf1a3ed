"""The summary at the end of a run, and the check that every row was emitted or reported."""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.exceptions import (
    CampusGroupsError,
    ExportFailedError,
    RowsMissingError,
    StreamsFailedError,
    UnexpectedError,
)
from tap_campusgroups.records import json_codec
from tests.simulator import Dataset, FailQuery, Simulator, Status
from tests.support.harness import (
    NEWEST,
    STARTED,
    canonical,
    catalog_of,
    settings_for,
    state_of,
    structured_logging,
    sync,
)
from tests.support.messages import SUMMARY
from tests.support.processes import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
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


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """End every run 30 hours after the newest row."""
    monkeypatch.setattr("tap_campusgroups.summary.utc_now", lambda: NEWEST + timedelta(hours=30))


# Reading a summary


def summaries(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the log records of summaries."""
    return [record for record in caplog.records if SUMMARY in record.getMessage()]


def table(text: str) -> dict[str, dict[str, str]]:
    """Return the table of a summary by stream and column."""
    rows = [list(re.finditer(r"\S+(?: \S+)*", line)) for line in text.splitlines()]
    head = next(at for at, row in enumerate(rows) if row[0][0] == "stream")
    found = {}
    for row in rows[head + 1 :]:
        if len(row) != len(rows[head]):
            break
        # Names are aligned on the left, figures on the right.
        assert row[0].start() == 2
        assert [cell.end() for cell in row[1:]] == [cell.end() for cell in rows[head][1:]]
        found[row[0][0]] = {name[0]: cell[0] for name, cell in zip(rows[head], row, strict=True)}
    return found


def figures(record: logging.LogRecord) -> dict[str, dict[str, Any]]:
    """Return the figures of a summary by stream."""
    streams: list[dict[str, Any]] = vars(record)["streams"]
    return {one["stream"]: one for one in streams}


def check_same(shown: dict[str, dict[str, str]], streams: dict[str, dict[str, Any]]) -> None:
    """Check that the table shows the figures."""
    assert list(shown) == list(streams)
    for name, one in streams.items():
        issues = sum(one["type_mismatches"].values())
        issues += one["pages_with_invalid_unicode"] + one["rows_without_key"]
        issues += sum(unknown["count"] for unknown in one["unknown"].values())
        age = "-" if one["age_hours"] is None else f"{one['age_hours']:,.0f} h"
        assert shown[name] == {
            "stream": name,
            "rows": f"{one['rows']:,}",
            "exports": str(one["exports"]),
            "windows": f"{one['windows_done']}/{one['windows']}",
            "resubmitted": str(one["resubmissions"]),
            "retries": str(one["retries"]),
            "issues": str(issues),
            "newest updatedOn": (one["newest"] or "-")[:19],
            "age": age,
        }


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
        exports = {
            stream: sum(
                (one.method, one.stream, one.status) == ("POST", stream, 200)
                for one in simulator.requests
            )
            for stream in STREAMS
        }
    (record,) = summaries(caplog)
    assert record.levelno == logging.INFO
    streams = figures(record)
    assert list(streams) == list(STREAMS)
    check_same(table(record.getMessage()), streams)
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
    assert [streams[stream]["age_hours"] for stream in STREAMS] == [30.0, 30.0, None]
    assert streams["rooms"]["type_mismatches"] == {"capacity": 1}
    assert streams["rooms"]["unknown"] == {"shoeSize": {"count": 3, "type": "integer"}}
    total = sum(one["rows"] for one in streams.values())
    assert vars(record)["rows"] == total
    assert total > 1500
    first = record.getMessage().splitlines()[0]
    assert first.startswith(f"{SUMMARY}3/3 streams, {total:,} rows, ")


def test_summary_is_at_most_120_columns_wide(caplog: pytest.LogCaptureFixture) -> None:
    counts = dict.fromkeys(Dataset(0, newest=NEWEST).streams, 2) | {"users": 1100}
    with Simulator(Dataset(counts, newest=NEWEST)) as simulator:
        assert sync(settings_for(simulator)).error is None
    (record,) = summaries(caplog)
    assert len(table(record.getMessage())) == 23
    assert max(map(len, record.getMessage().splitlines())) <= 120
    assert table(record.getMessage())["users"]["rows"] == "1,100"


@pytest.mark.parametrize(
    ("values", "suggestion"),
    [
        ([7, None], "integer"),
        ([7, 1.5], "number"),
        ([True], "boolean"),
        (["2025-01-01T00:00:00Z"], "date-time"),
        (["2025-01-01T00:00:00Z", "soon"], "string"),
        ([7, "soon"], "string"),
        ([{"a": 1}], "object"),
        ([[1]], "array"),
        ([None], "null"),
    ],
    ids=repr,
)
def test_unknown_field_is_listed_with_a_suggested_type(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, values: list[Any], suggestion: str
) -> None:
    for row, value in zip(simulator.dataset["rooms"], values, strict=False):
        row["shoeSize"] = value
    assert sync(settings_for(simulator), "rooms").error is None
    (record,) = summaries(caplog)
    assert figures(record)["rooms"]["unknown"] == {
        "shoeSize": {"count": len(values), "type": suggestion}
    }
    assert record.getMessage().splitlines()[3] == (
        f"  rooms: field shoeSize is not in the schema: {len(values)} "
        f"value{'s' * (len(values) > 1)}, kept in _extra; "
        f"suggested type: {suggestion}"
    )


@pytest.mark.parametrize(
    ("choice", "words"), [("capture", "kept in _extra"), ("ignore", "dropped")]
)
def test_summary_shows_how_unknown_fields_were_handled(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, choice: str, words: str
) -> None:
    simulator.dataset["rooms"][0]["shoeSize"] = 44
    output = sync(settings_for(simulator, unknown_fields=choice), "rooms")
    assert output.error is None
    (record,) = summaries(caplog)
    assert f"1 value, {words}; suggested type: integer" in record.getMessage()
    extras = [one["_extra"] for one in output.records["rooms"] if one["_extra"]]
    assert extras == ([{"shoeSize": 44}] if choice == "capture" else [])


# Failures


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
    streams = figures(record)
    assert streams["tags"]["rows"] == ROWS
    assert streams["tags"]["error"] is None
    assert "Stream 'badges'" in streams["badges"]["error"]
    check_same(table(record.getMessage()), streams)


@pytest.mark.usefixtures("impatient")
def test_aborted_run_has_one_summary(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(FailQuery().on("rooms", times=None))
    output = sync(settings_for(simulator, on_stream_error="abort"), *STREAMS)
    assert isinstance(output.error, ExportFailedError)
    (record,) = summaries(caplog)
    streams = figures(record)
    assert [streams[stream]["windows_done"] for stream in STREAMS] == [1, 0, 0]
    assert record.getMessage().splitlines()[-1].startswith("  FAILED: Stream 'rooms'")


def test_bug_in_one_stream_fails_that_stream_without_quoting_values(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = json_codec.record_lines

    def record_lines(stream: str, *args: Any, **options: Any) -> bytes:
        if stream == "rooms":
            message = "quotes Jane Sentinel"
            raise RuntimeError(message)
        return original(stream, *args, **options)

    monkeypatch.setattr("tap_campusgroups.client.record_lines", record_lines)
    output = sync(settings_for(simulator), *STREAMS)
    assert isinstance(output.error, UnexpectedError)
    assert re.fullmatch(
        r"Stream 'rooms': unexpected RuntimeError in test_summary\.py, line \d+ \(record_lines\)\. "
        r"Please report this line\.",
        str(output.error),
    )
    (record,) = summaries(caplog)
    streams = figures(record)
    assert [streams[stream]["windows_done"] for stream in STREAMS] == [1, 0, 1]
    assert "Sentinel" not in caplog.text


@pytest.mark.usefixtures("impatient")
def test_summary_of_aborted_run_counts_only_complete_streams(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(FailQuery().on("rooms", times=None))
    sync(settings_for(simulator, on_stream_error="abort"), *STREAMS)
    (record,) = summaries(caplog)
    assert record.getMessage().startswith(f"{SUMMARY}1/3 streams, ")


def test_stream_with_an_empty_range_is_in_the_summary(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """At any place; its bookmark is later than `end_date` plus the lookback."""
    config = settings_for(simulator, end_date=(NEWEST - 5 * DAY).isoformat())
    for stream in reversed(STREAMS):
        caplog.clear()
        output = sync(config, *STREAMS, state=state_of(**{stream: canonical(NEWEST)}))
        assert output.error is None
        (record,) = summaries(caplog)
        assert list(figures(record)) == list(STREAMS)
        assert table(record.getMessage())[stream]["windows"] == "0/0"


def test_run_without_an_accepted_export_has_no_summary(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings_for(simulator, api_secret="wrong")  # noqa: S106 - a wrong one
    assert isinstance(sync(config, *STREAMS).error, CampusGroupsError)
    assert summaries(caplog) == []


def test_structured_log_has_the_figures_of_the_table(simulator: Simulator, tmp_path: Path) -> None:
    simulator.dataset["rooms"][3]["capacity"] = "many"
    simulator.dataset["rooms"][4]["shoeSize"] = "sentinel"
    simulator.dataset["tags"][4]["id"] = None
    simulator.inject(FailQuery().on("badges", "first_page"))
    for name, content in {
        "config.json": settings_for(simulator),
        "catalog.json": catalog_of(STREAMS),
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    arguments = ("--config", tmp_path / "config.json", "--catalog", tmp_path / "catalog.json")
    done = run(*arguments, SINGER_SDK_LOG_CONFIG=structured_logging(tmp_path))
    assert done.returncode == 1
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    (record,) = [one for one in logged if SUMMARY in one["message"]]
    extra = record["extra"]
    streams = {one["stream"]: one for one in extra["streams"]}
    check_same(table(record["message"]), streams)
    assert (extra["rows"], extra["failed"]) == (3 * ROWS, ["tags"])
    assert extra["seconds"] > 0
    assert streams["badges"]["resubmissions"] == 2
    assert streams["rooms"]["type_mismatches"] == {"capacity": 1}
    assert streams["rooms"]["unknown"] == {"shoeSize": {"count": 1, "type": "string"}}
    assert (streams["tags"]["rows"], streams["tags"]["rows_without_key"]) == (ROWS, 1)
    assert "sentinel" not in done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    emitted = [one["stream"] for one in records if one["type"] == "RECORD"]
    assert [emitted.count(stream) for stream in STREAMS] == [ROWS, ROWS, ROWS - 1]


# Received and emitted rows


def without_a_property() -> dict[str, Any]:
    """Deselect a property, so that the SDK processes each record."""
    catalog = catalog_of(STREAMS)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] in (["properties", "name"], ["properties", "color"]):
                entry["metadata"]["selected"] = False
    return catalog


def check_stuck(output: Output, stream: str, bookmark: str | None) -> None:
    """Check that a stream's bookmark never moved and that the other streams are complete."""
    for state in output.states:
        entry = state["bookmarks"].get(stream, {})
        assert entry.get("replication_key_value") == bookmark
    others = set(STREAMS) - {stream}
    assert {output.bookmarks[other] for other in others} == {canonical(NEWEST)}
    for other in others:
        assert len(output.records[other]) == ROWS


def drop_last(lines: bytes) -> bytes:
    """Remove the last line."""
    return b"".join(lines.splitlines(keepends=True)[:-1])


def double_last(lines: bytes) -> bytes:
    """Repeat the last line."""
    return lines + lines.splitlines(keepends=True)[-1]


OLD = "2025-05-20T00:00:00.000000Z"


@pytest.mark.parametrize("change", [drop_last, double_last])
@pytest.mark.parametrize("bookmark", [None, OLD])
def test_bookmark_does_not_move_if_the_writer_loses_or_repeats_rows(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[bytes], bytes],
    bookmark: str | None,
) -> None:
    original = json_codec.record_lines

    def record_lines(stream: str, *args: Any, **options: Any) -> bytes:
        lines = original(stream, *args, **options)
        return change(lines) if stream == "rooms" and lines else lines

    monkeypatch.setattr("tap_campusgroups.client.record_lines", record_lines)
    state = state_of(rooms=bookmark) if bookmark else None
    output = sync(settings_for(simulator), *STREAMS, state=state)
    assert isinstance(output.error, RowsMissingError)
    count = ROWS + (1 if change is double_last else -1)
    assert f"Stream 'rooms': {ROWS} rows received, {count} emitted" in str(output.error)
    check_stuck(output, "rooms", bookmark)


def test_bookmark_does_not_move_if_the_sdk_loses_a_row(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = CampusGroupsStream.post_process

    def post_process(stream: CampusGroupsStream, row: Any, context: Any = None) -> Any:
        record = original(stream, row, context)
        is_lost = stream.name == "rooms" and row["id"] == simulator.dataset["rooms"][5]["id"]
        return None if is_lost else record

    monkeypatch.setattr(CampusGroupsStream, "post_process", post_process)
    output = sync(settings_for(simulator), catalog=without_a_property(), state=state_of(rooms=OLD))
    assert isinstance(output.error, RowsMissingError)
    assert f"{ROWS} rows received, {ROWS - 1} emitted" in str(output.error)
    check_stuck(output, "rooms", OLD)


def test_bookmark_is_that_of_the_window_before_a_lost_row(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = json_codec.record_lines, iter(range(100))

    def record_lines(stream: str, *args: Any, **options: Any) -> bytes:
        lines = original(stream, *args, **options)
        return drop_last(lines) if next(calls) >= 3 else lines

    monkeypatch.setattr("tap_campusgroups.client.record_lines", record_lines)
    rows = simulator.dataset["rooms"]
    for day, row in enumerate(rows):  # one a day, so that every window has a page with a row
        row["updatedOn"] = canonical(STARTED - (12 - day) * DAY + timedelta(hours=1))
    start = (STARTED - 12 * DAY).replace(microsecond=0)
    config = settings_for(simulator, start_date=start.isoformat(), export_window_days=1)
    output = sync(config, "rooms")
    assert isinstance(output.error, RowsMissingError)
    assert output.bookmarks == {"rooms": canonical(start + 3 * DAY)}
    assert str(output.error).startswith("Stream 'rooms': 1 rows received, 0 emitted")


NO_IDS: list[Any] = [None, "absent", "x", [1]]


def spoil(rows: list[dict[str, Any]], values: Iterable[Any]) -> None:
    """Replace or remove the ids of the first rows."""
    for row, value in zip(rows, values, strict=False):
        if value == "absent":
            del row["id"]
        else:
            row["id"] = value


@pytest.mark.parametrize("is_row_by_row", [False, True], ids=["pages", "records"])
@pytest.mark.parametrize("values", [[value] for value in NO_IDS] + [NO_IDS], ids=repr)
def test_rows_without_an_id_are_skipped_and_counted_and_fail_the_stream(
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    values: list[Any],
    *,
    is_row_by_row: bool,
) -> None:
    spoil(simulator.dataset["rooms"], values)
    catalog = without_a_property() if is_row_by_row else catalog_of(STREAMS)
    output = sync(settings_for(simulator), catalog=catalog, state=state_of(rooms=OLD))
    assert isinstance(output.error, RowsMissingError)
    count = f"{len(values)} row{'s' * (len(values) > 1)}"
    assert f"Stream 'rooms': {count} of " in str(output.error)
    assert " without a usable id skipped; all others were emitted. " in str(output.error)
    assert len(output.records["rooms"]) == ROWS - len(values)
    assert all(isinstance(record["id"], int) for record in output.records["rooms"])
    check_stuck(output, "rooms", OLD)
    (record,) = summaries(caplog)
    streams = figures(record)
    assert (streams["rooms"]["rows"], streams["rooms"]["rows_without_key"]) == (ROWS, len(values))
    check_same(table(record.getMessage()), streams)
    words = f"  rooms: {count} without a usable id, skipped"
    assert words in record.getMessage().splitlines()


@pytest.mark.parametrize("is_row_by_row", [False, True], ids=["pages", "records"])
def test_row_with_id_0_is_emitted(simulator: Simulator, *, is_row_by_row: bool) -> None:
    spoil(simulator.dataset["rooms"], [0, "7000"])
    catalog = without_a_property() if is_row_by_row else catalog_of(STREAMS)
    output = sync(settings_for(simulator), catalog=catalog)
    assert output.error is None
    assert {0, 7000} <= {record["id"] for record in output.records["rooms"]}


def test_process_with_rows_without_an_id_ends_with_1_after_all_streams(
    simulator: Simulator, tmp_path: Path
) -> None:
    spoil(simulator.dataset["badges"], [None])
    for name, content in (("config", settings_for(simulator)), ("catalog", catalog_of(STREAMS))):
        (tmp_path / name).write_text(json.dumps(content))
    done = run("--config", tmp_path / "config", "--catalog", tmp_path / "catalog")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("Report it to CampusGroups.")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    emitted = [one["stream"] for one in messages if one["type"] == "RECORD"]
    assert [emitted.count(stream) for stream in STREAMS] == [ROWS - 1, ROWS, ROWS]
    (*_, state) = [one["value"]["bookmarks"] for one in messages if one["type"] == "STATE"]
    assert state.get("badges", {}).get("replication_key_value") is None
    assert state["tags"]["replication_key_value"] >= canonical(NEWEST)
