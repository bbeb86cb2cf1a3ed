"""The summary at the end of a run, and the reckoning behind it: no row may vanish unnoticed."""

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
    """The service, with a dozen rows of three streams in ten days."""
    dataset = Dataset(dict.fromkeys(STREAMS, ROWS), newest=NEWEST, span=10 * DAY)
    with Simulator(dataset) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run end 30 hours after the newest row."""
    monkeypatch.setattr("tap_campusgroups.sync.utc_now", lambda: NEWEST + timedelta(hours=30))


# ParsedResponse a summary


def summaries(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Pick the summaries of the log."""
    return [record for record in caplog.records if "Summary: " in record.getMessage()]


def table(text: str) -> dict[str, dict[str, str]]:
    """Read the table of a summary as a person does, by what stands under what."""
    rows = [list(re.finditer(r"\S+(?: \S+)*", line)) for line in text.splitlines()]
    head = next(at for at, row in enumerate(rows) if row[0][0] == "stream")
    found = {}
    for row in rows[head + 1 :]:
        if len(row) != len(rows[head]):
            break
        # The names of the streams stand under one another, the figures end under their heading.
        assert row[0].start() == 2
        assert [cell.end() for cell in row[1:]] == [cell.end() for cell in rows[head][1:]]
        found[row[0][0]] = {name[0]: cell[0] for name, cell in zip(rows[head], row, strict=True)}
    return found


def figures(record: logging.LogRecord) -> dict[str, dict[str, Any]]:
    """Read the figures of a summary."""
    streams: list[dict[str, Any]] = vars(record)["streams"]
    return {one["stream"]: one for one in streams}


def check_same(told: dict[str, dict[str, str]], streams: dict[str, dict[str, Any]]) -> None:
    """Make sure that the table and the figures say the same."""
    assert list(told) == list(streams)
    for name, one in streams.items():
        odd = sum(one["type_mismatches"].values()) + one["replaced"] + one["rows_without_key"]
        odd += sum(unknown["count"] for unknown in one["unknown"].values())
        age = "-" if one["age_hours"] is None else f"{one['age_hours']:,.0f} h"
        assert told[name] == {
            "stream": name,
            "rows": f"{one['rows']:,}",
            "exports": str(one["exports"]),
            "windows": f"{one['windows_done']}/{one['windows']}",
            "again": str(one["resubmissions"]),
            "retries": str(one["retries"]),
            "odd": str(odd),
            "newest updatedOn": (one["newest"] or "-")[:19],
            "age": age,
        }


# What it says


def test_a_summary_has_a_line_a_stream_and_the_figures_of_the_run(
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
            max_concurrent_exports=1,  # or another window may fail: the last one is not halved
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
    assert first.startswith(f"Summary: 3 of 3 streams, {total:,} rows in ")


def test_a_summary_fits_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
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
        ([7, "soon"], "integer/string"),
        ([{"a": 1}], "object"),
        ([[1]], "array"),
        ([None], "null"),
    ],
    ids=repr,
)
def test_an_unknown_field_is_told_with_a_type_to_give_it(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, values: list[Any], suggestion: str
) -> None:
    for row, value in zip(simulator.dataset["rooms"], values, strict=False):
        row["shoeSize"] = value
    assert sync(settings_for(simulator), "rooms").error is None
    (record,) = summaries(caplog)
    assert figures(record)["rooms"]["unknown"] == {
        "shoeSize": {"count": len(values), "type": suggestion}
    }
    assert record.getMessage().splitlines()[-1] == (
        f"  rooms: field shoeSize is not in the schema: {len(values)} values, kept in _extra; "
        f"suggested type: {suggestion}"
    )


@pytest.mark.parametrize(
    ("choice", "words"), [("capture", "kept in _extra"), ("ignore", "left out")]
)
def test_a_summary_says_what_was_done_with_unknown_fields(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, choice: str, words: str
) -> None:
    simulator.dataset["rooms"][0]["shoeSize"] = 44
    output = sync(settings_for(simulator, unknown_fields=choice), "rooms")
    assert output.error is None
    (record,) = summaries(caplog)
    assert f"1 values, {words}; suggested type: integer" in record.getMessage()
    extras = [one["_extra"] for one in output.records["rooms"] if one["_extra"]]
    assert extras == ([{"shoeSize": 44}] if choice == "capture" else [])


# When there is one


def test_failures_stand_last_and_the_others_are_read(
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
    assert lines[0].startswith("Summary: 1 of 3 streams, ")
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


def test_a_run_that_is_aborted_is_summed_up_once(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(FailQuery().on("rooms", times=None))
    output = sync(settings_for(simulator, on_stream_error="abort"), *STREAMS)
    assert isinstance(output.error, ExportFailedError)
    (record,) = summaries(caplog)
    streams = figures(record)
    assert [streams[stream]["windows_done"] for stream in STREAMS] == [1, 0, 0]
    assert record.getMessage().splitlines()[-1].startswith("  FAILED: Stream 'rooms'")


def test_bug_in_one_stream_fails_that_stream_and_quotes_no_value(
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


def test_a_summary_counts_only_streams_that_were_read_to_their_end(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(FailQuery().on("rooms", times=None))
    sync(settings_for(simulator, on_stream_error="abort"), *STREAMS)
    (record,) = summaries(caplog)
    assert record.getMessage().startswith("Summary: 1 of 3 streams, ")


def test_a_stream_with_nothing_to_read_has_its_line(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it stands; its bookmark is later than `end_date` and the lookback allow."""
    config = settings_for(simulator, end_date=(NEWEST - 5 * DAY).isoformat())
    for stream in reversed(STREAMS):
        caplog.clear()
        output = sync(config, *STREAMS, state=state_of(**{stream: canonical(NEWEST)}))
        assert output.error is None
        (record,) = summaries(caplog)
        assert list(figures(record)) == list(STREAMS)
        assert table(record.getMessage())[stream]["windows"] == "0/0"


def test_no_summary_of_a_run_that_did_not_get_going(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings_for(simulator, api_secret="wrong")  # noqa: S106 - a wrong one
    assert isinstance(sync(config, *STREAMS).error, CampusGroupsError)
    assert summaries(caplog) == []


def test_the_structured_record_has_the_figures_of_the_table(
    simulator: Simulator, tmp_path: Path
) -> None:
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
    (record,) = [one for one in logged if "Summary: " in one["message"]]
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


# The reckoning


def without_a_property() -> dict[str, Any]:
    """Deselect a property: the SDK has something to do with each record then."""
    catalog = catalog_of(STREAMS)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] in (["properties", "name"], ["properties", "color"]):
                entry["metadata"]["selected"] = False
    return catalog


def check_stuck(output: Output, stream: str, bookmark: str | None) -> None:
    """Make sure that a stream's bookmark never moved, and that the others came to their end."""
    for state in output.states:
        entry = state["bookmarks"].get(stream, {})
        assert entry.get("replication_key_value") == bookmark
    others = set(STREAMS) - {stream}
    assert {output.bookmarks[other] for other in others} == {canonical(NEWEST)}
    for other in others:
        assert len(output.records[other]) == ROWS


def drop_last(lines: bytes) -> bytes:
    """Lose a line."""
    return b"".join(lines.splitlines(keepends=True)[:-1])


def double_last(lines: bytes) -> bytes:
    """Write a line twice."""
    return lines + lines.splitlines(keepends=True)[-1]


OLD = "2025-05-20T00:00:00.000000Z"


@pytest.mark.parametrize("change", [drop_last, double_last])
@pytest.mark.parametrize("bookmark", [None, OLD])
def test_rows_that_the_writer_loses_or_makes_up_stop_the_bookmark(
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
    assert f"Stream 'rooms': {ROWS} rows came and {count} were emitted" in str(output.error)
    check_stuck(output, "rooms", bookmark)


def test_a_row_that_the_sdk_s_road_loses_stops_the_bookmark(
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
    assert f"{ROWS} rows came and {ROWS - 1} were emitted" in str(output.error)
    check_stuck(output, "rooms", OLD)


def test_a_row_lost_in_a_later_window_leaves_the_bookmark_of_the_one_before(
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
    assert str(output.error).startswith("Stream 'rooms': 1 rows came and 0 were emitted")


NO_IDS: list[Any] = [None, "absent", "x", [1]]


def spoil(rows: list[dict[str, Any]], values: Iterable[Any]) -> None:
    """Take the ids of the first rows away."""
    for row, value in zip(rows, values, strict=False):
        if value == "absent":
            del row["id"]
        else:
            row["id"] = value


@pytest.mark.parametrize("is_sdk_road", [False, True], ids=["pages", "records"])
@pytest.mark.parametrize("values", [[value] for value in NO_IDS] + [NO_IDS], ids=repr)
def test_rows_without_an_id_are_left_out_and_counted_and_end_the_run_as_failed(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, values: list[Any], *, is_sdk_road: bool
) -> None:
    spoil(simulator.dataset["rooms"], values)
    catalog = without_a_property() if is_sdk_road else catalog_of(STREAMS)
    output = sync(settings_for(simulator), catalog=catalog, state=state_of(rooms=OLD))
    assert isinstance(output.error, RowsMissingError)
    assert f"{len(values)} rows of updatedOn " in str(output.error)
    assert "have no usable id and were left out; the others were emitted" in str(output.error)
    assert len(output.records["rooms"]) == ROWS - len(values)
    assert all(isinstance(record["id"], int) for record in output.records["rooms"])
    check_stuck(output, "rooms", OLD)
    (record,) = summaries(caplog)
    streams = figures(record)
    assert (streams["rooms"]["rows"], streams["rooms"]["rows_without_key"]) == (ROWS, len(values))
    check_same(table(record.getMessage()), streams)
    words = f"  rooms: {len(values)} rows without a usable id were left out"
    assert words in record.getMessage().splitlines()


@pytest.mark.parametrize("is_sdk_road", [False, True], ids=["pages", "records"])
def test_an_id_of_nought_is_an_id(simulator: Simulator, *, is_sdk_road: bool) -> None:
    spoil(simulator.dataset["rooms"], [0, "7000"])
    catalog = without_a_property() if is_sdk_road else catalog_of(STREAMS)
    output = sync(settings_for(simulator), catalog=catalog)
    assert output.error is None
    assert {0, 7000} <= {record["id"] for record in output.records["rooms"]}


def test_rows_without_an_id_end_the_process_with_1_and_the_other_streams_arrive(
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
