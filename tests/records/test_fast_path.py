"""What the tap writes by whole pages is what the SDK would have written record by record."""

from __future__ import annotations

import io
import json
import logging
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.helpers._flattening import flatten_record, flatten_schema
from singer_sdk.metrics import METRICS_LOGGER_NAME, Point
from singer_sdk.singerlib.encoding import SimpleSingerWriter

from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.exceptions import SettingsError
from tap_campusgroups.records.writer import PageWriter
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, JsonBody, Simulator
from tests.support.harness import NEWEST, Output, catalog_of, settings_for, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from singer_sdk.singerlib.encoding import GenericSingerWriter

    from tests.simulator import Fault, Row

ROWS = 5
PAGE_SIZE = 2
PAGES = [2, 2, 1]
SENTINEL = "sentinel-7b41"
STARTED = datetime(2025, 6, 3, tzinfo=UTC)
"""When every run starts: with the same window, fresh simulators serve rows in the same order."""


@dataclass
class Run(Output):
    """What a run wrote, and how it got there.

    Attributes:
        text: All of stdout.
        pages: Records of each page that was written as a whole.
        metrics: The SDK's, as far as they are not time, sorted.
        reports: Of the streams in the summary, but for their age.
        rows: How many the log tells of, a stream.
        warnings: What else was logged at that level or above.
        log: All that was logged.
    """

    text: str = ""
    pages: Sequence[int] = ()
    metrics: Sequence[str] = ()
    reports: Sequence[Mapping[str, Any]] = ()
    rows: Sequence[int] = ()
    warnings: Sequence[str] = ()
    log: str = ""

    @property
    def plain(self) -> list[dict[str, Any]]:
        """The messages, without when their records were extracted, their keys sorted."""
        without = (message | {"time_extracted": None} for message in self.messages)
        return [_ordered(message) for message in without]


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def metric(point: Point[Any]) -> str:
    """Write a metric down; of a duration only that it is none of before."""
    tags = {str(name): str(value) for name, value in point.tags.items() if name != "pid"}
    value = point.value if point.metric_type == "counter" else point.value >= 0
    return f"{point.metric_type} {point.metric.value} {value} {sorted(tags.items())}"


@cache
def _catalog(streams: tuple[str, ...]) -> str:
    return json.dumps(catalog_of(streams))


class Tap:
    """Runs the tap in this process, each time on a service of its own."""

    def __init__(self, patch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._pages: list[int] = []
        write_lines = PageWriter.write_lines

        def spy(writer: PageWriter, lines: bytes) -> None:
            self._pages.append(lines.count(b"\n"))
            write_lines(writer, lines)

        patch.setattr(PageWriter, "write_lines", spy)
        patch.setattr(TapCampusGroups, "initialized_at", int(STARTED.timestamp() * 1000))

    def __call__(
        self,
        *streams: str,
        prepare: Callable[[Dataset], object] = lambda _: None,
        faults: Sequence[Fault] = (),
        writer: GenericSingerWriter[Any, Any] | None = None,
        catalog: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Run:
        """Run the tap.

        Args:
            *streams: To select, if there is no catalog.
            prepare: Changes the service's rows.
            faults: Of the service.
            writer: In place of the tap's own.
            catalog: A catalog.
            state: State of an earlier run.
            **settings: More settings.
        """
        catalog = catalog or json.loads(_catalog(streams))
        self._caplog.clear()
        self._pages.clear()
        dataset = Dataset(ROWS, newest=NEWEST)
        prepare(dataset)
        written = io.BytesIO()
        stdout = io.TextIOWrapper(written, encoding="utf-8")
        error: Exception | None = None
        with Simulator(dataset) as simulator, redirect_stdout(stdout):
            for fault in faults:
                simulator.inject(fault)
            config = settings_for(simulator) | {"page_size": PAGE_SIZE} | settings
            try:
                TapCampusGroups(
                    # The SDK changes what it is given.
                    config=json.loads(json.dumps(config)),
                    state=json.loads(json.dumps(state or {})),
                    catalog=json.loads(json.dumps(catalog)),
                    message_writer=writer,
                ).sync_all()
            except Exception as caught:  # noqa: BLE001 - tests look at it
                error = caught
            stdout.flush()
        lines = written.getvalue().splitlines()  # of bytes: U+2028 ends no line
        points = (record.args for record in self._records(METRICS_LOGGER_NAME, logging.INFO))
        return Run(
            [json.loads(line, parse_float=Decimal) for line in lines],
            error,
            text=written.getvalue().decode(),
            pages=self._pages.copy(),
            metrics=sorted(
                metric(one)
                for arguments in points
                if isinstance(arguments, tuple)
                for one in arguments
                if isinstance(one, Point)
            ),
            reports=[
                {name: value for name, value in report.items() if name != "age_hours"}
                for record in self._records("", logging.INFO)
                for report in vars(record).get("streams", ())
            ],
            rows=[
                vars(record)["rows"]
                for record in self._records("", logging.INFO)
                if "rows_per_second" in vars(record)
            ],
            warnings=[
                record.getMessage()
                for record in self._records("", logging.WARNING)
                if "streams" not in vars(record)
            ],
            log=self._caplog.text,
        )

    def _records(self, logger: str, level: int) -> list[logging.LogRecord]:
        return [
            record
            for record in self._caplog.records
            if record.name.startswith(logger) and record.levelno >= level
        ]


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Tap:
    """The tap, watched."""
    return Tap(monkeypatch, caplog)


NOTHING_CHANGES: dict[str, Any] = {"stream_maps": {"events": {"__filter__": "True"}}}
"""A stream map that leaves all as it is, but has the SDK look at each record."""


def drift(rows: list[Row]) -> None:
    """Let rows hold what their schema does not foresee: each in its own way."""
    as_text, misfits, unknown, short, _ = rows
    for name, value in as_text.items():
        if name not in {"id", "updatedOn"} and value is not None:
            as_text[name] = value if isinstance(value, str) else json.dumps(value)
    for name in misfits:
        if name not in {"id", "updatedOn"}:
            misfits[name] = {"odd": [1.5, "12.50", None, 2**60, "\u2028"], "name": 7}
    unknown |= {"shoeSize": {"eu": 44}, "id ": None, "": [1]}
    for name in list(short)[2:]:
        if name != "updatedOn":
            del short[name]


def drift_everywhere(dataset: Dataset) -> None:
    """Let the rows of all streams drift."""
    for stream in dataset.streams:
        drift(dataset[stream])


def drift_events(dataset: Dataset) -> None:
    """Let the rows of events drift."""
    drift(dataset["events"])


def assert_same(page_road: Run, sdk_road: Run) -> None:
    """Compare two runs in all that reaches anybody, and make sure that they were different ones."""
    assert page_road.pages
    assert not sdk_road.pages
    assert sdk_road.plain == page_road.plain
    # Also where numbers are equal that are not the same: 1, 1.0 and true.
    assert repr(sdk_road.plain) == repr(page_road.plain)
    assert sdk_road.states == page_road.states
    assert sdk_road.metrics == page_road.metrics
    assert page_road.reports
    assert sdk_road.reports == page_road.reports
    assert sdk_road.rows == page_road.rows
    assert sdk_road.warnings == page_road.warnings
    assert str(sdk_road.error) == str(page_road.error)
    for message in page_road.of_type("RECORD") + sdk_road.of_type("RECORD"):
        assert set(message) == {"type", "stream", "record", "time_extracted"}
        extracted = datetime.fromisoformat(message["time_extracted"])
        assert abs((datetime.now(UTC) - extracted).total_seconds()) < 300


# The SDK's road, forced


@pytest.mark.parametrize("writer", [MsgSpecWriter, SimpleSingerWriter])
@pytest.mark.parametrize("prepare", [lambda _: None, drift_everywhere], ids=["right", "drifted"])
def test_every_stream_is_the_same_through_a_writer_of_the_sdk(
    tap: Tap,
    writer: Callable[[], GenericSingerWriter[Any, Any]],
    prepare: Callable[[Dataset], object],
) -> None:
    streams = Dataset(0, newest=NEWEST).streams
    page_road = tap(*streams, prepare=prepare)
    assert page_road.error is None
    assert page_road.pages == PAGES * 23
    assert page_road.rows == [ROWS] * 23
    assert_same(page_road, tap(*streams, prepare=prepare, writer=writer()))


@pytest.mark.parametrize("more", [{}, {"max_concurrent_exports": 1}, {"page_size": 999}])
def test_a_stream_map_that_changes_nothing_changes_nothing(tap: Tap, more: dict[str, Any]) -> None:
    page_road = tap("events", prepare=drift_events, **more)
    assert page_road.pages == ([5] if "page_size" in more else PAGES)
    assert_same(page_road, tap("events", prepare=drift_events, **NOTHING_CHANGES, **more))


def test_a_stream_map_of_another_stream_leaves_the_page_road(tap: Tap) -> None:
    alone = tap("rooms")
    both = tap("events", "rooms", **NOTHING_CHANGES)
    assert both.pages == PAGES
    assert both.records["rooms"] == alone.records["rooms"]
    assert len(both.records["events"]) == ROWS


def deselected(stream: str, *paths: Sequence[str]) -> dict[str, Any]:
    """Make a catalog of one stream in which some properties are not selected."""
    catalog = catalog_of([stream])
    (entry,) = (entry for entry in catalog["streams"] if entry["stream"] == stream)
    for path in paths:
        breadcrumb = [part for name in path for part in ("properties", name)]
        (found,) = (one for one in entry["metadata"] if one["breadcrumb"] == breadcrumb)
        found["metadata"]["selected"] = False
    return catalog


def test_a_deselected_property_is_all_that_is_missing(tap: Tap) -> None:
    paths = [("description",), ("type", "name"), ("customFields",)]
    hidden = {path[0] for path in paths}
    page_road = tap("events", prepare=drift_events)
    sdk_road = tap(prepare=drift_events, catalog=deselected("events", *paths))
    for message in page_road.messages:
        match message["type"]:
            case "RECORD":
                things = message["record"]
                kind = things.get("type")
                extra = things["_extra"] or {}
                kept = {name: extra[name] for name in extra if name not in hidden}
                things["_extra"] = kept or None
            case "SCHEMA":
                things = message["schema"]["properties"]
                kind = things["type"]["properties"]
            case _:
                continue
        things.pop("description", None)
        things.pop("customFields", None)
        if isinstance(kind, dict):
            kind.pop("name", None)
    assert any(record["_extra"] for record in page_road.records["events"])
    assert_same(page_road, sdk_road)


def test_flattened_records_are_those_of_the_page_road_flattened(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        for stream in ("events", "rooms", "survey_submissions"):
            dataset[stream][0].update(dataset.full_row(stream))
        dataset["events"][1]["country"] = {"id": "007", "name": 1.50, "new": 1}

    streams = ("events", "rooms", "survey_submissions")
    for depth in (1, 2):
        page_road = tap(*streams, prepare=prepare)
        sdk_road = tap(
            *streams, prepare=prepare, flattening_enabled=True, flattening_max_depth=depth
        )
        flat: dict[str, Any] = {}
        for message in page_road.messages:
            if message["type"] == "SCHEMA":
                message["schema"] = flatten_schema(message["schema"], max_level=depth)
                flat[message["stream"]] = message["schema"]
            elif message["type"] == "RECORD":
                schema = flat[message["stream"]]
                message["record"] = flatten_record(message["record"], schema, max_level=depth)
        assert "country__id" in flat["events"]["properties"]
        assert_same(page_road, sdk_road)


def test_flattening_of_nothing_leaves_the_page_road(tap: Tap) -> None:
    plain = tap("events")
    switched_off = tap("events", flattening_enabled=False, flattening_max_depth=1)
    assert switched_off.pages == plain.pages == PAGES
    assert switched_off.plain == plain.plain


@pytest.mark.parametrize("name", ['a "name"', "a\\b", "a\nb", "\0", "\u2028", "class"], ids=ascii)
def test_an_unknown_field_of_any_name_is_left_out_on_both_roads(tap: Tap, name: str) -> None:
    def prepare(dataset: Dataset) -> None:
        dataset["events"][1][name] = SENTINEL

    for mode, count in (("capture", 1), ("ignore", 0)):
        page_road = tap("events", prepare=prepare, unknown_fields=mode)
        assert page_road.error is None
        assert page_road.text.count(SENTINEL) == count
        assert_same(
            page_road, tap("events", prepare=prepare, unknown_fields=mode, **NOTHING_CHANGES)
        )


def test_an_unknown_field_that_is_an_error_ends_both_roads_alike(tap: Tap) -> None:
    def run(**more: Any) -> Run:
        fault = JsonBody({"Results": [{"id": 7, "shoeSize": SENTINEL}]}).on("events", "later_page")
        # With a concurrency, how far the other export gets is chance.
        return tap(
            *("events", "users"),
            faults=[fault],
            unknown_fields="fail",
            max_concurrent_exports=1,
            **more,
        )

    page_road, sdk_road = run(), run(writer=MsgSpecWriter())
    assert "does not have, shoeSize, and unknown_fields is 'fail'" in str(page_road.error)
    assert str(sdk_road.error) == str(page_road.error)
    assert len(page_road.records["events"]) == PAGE_SIZE
    assert len(page_road.records["users"]) == ROWS
    assert sdk_road.plain == page_road.plain
    assert sdk_road.warnings == page_road.warnings
    for run_of in (page_road, sdk_road):
        assert SENTINEL not in run_of.text
        assert SENTINEL not in run_of.log


def test_rows_without_an_id_are_left_out_and_end_both_roads_alike(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        first, second, third, *_ = dataset["events"]  # the first one is the newest
        first["id"], second["id"] = None, "x"
        del third["id"]

    page_road = tap("events", prepare=prepare)
    assert "3 rows" in str(page_road.error)
    assert len(page_road.records["events"]) == 2
    assert_same(page_road, tap("events", prepare=prepare, **NOTHING_CHANGES))


@pytest.mark.usefixtures("fake_time")
def test_bad_characters_are_replaced_alike(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        dataset["events"][1]["name"] = "half \ud83d of a pair"
        dataset["events"][2]["shoeSize"] = ["\ude00"]
        dataset["events"][3] |= {"type": {"name": "\udfff"}, "capacity": "many"}

    page_road = tap("events", prepare=prepare)
    assert page_road.error is None
    assert page_road.reports[0]["replaced"] >= 2
    assert_same(page_road, tap("events", prepare=prepare, **NOTHING_CHANGES))


def test_windows_of_an_export_are_the_same(tap: Tap) -> None:
    def run(**more: Any) -> Run:
        return tap(
            "events",
            prepare=drift_events,
            export_window_days=100,
            start_date="2024-05-01",
            **more,
        )

    page_road = run()
    assert len(page_road.states) > 2
    assert_same(page_road, run(**NOTHING_CHANGES))


def test_a_key_that_occurs_twice_in_a_row_ends_neither_road(tap: Tap) -> None:
    class Twice(str):
        """Two names of a row that are written alike."""

        __slots__ = ()
        __hash__ = object.__hash__

    def prepare(dataset: Dataset) -> None:
        # The last one counts, as to every reader of JSON.
        dataset["events"][1] = {Twice("capacity"): "many", **dataset["events"][1]}

    page_road = tap("events", prepare=prepare)
    assert page_road.error is None
    assert_same(page_road, tap("events", prepare=prepare, **NOTHING_CHANGES))


@pytest.mark.parametrize(
    "more", [{"emit_activate_version_messages": True}, {"batch_config": {}}], ids=repr
)
def test_what_the_page_road_could_not_do_is_refused(tap: Tap, more: dict[str, Any]) -> None:
    run = tap("events", **more)
    assert isinstance(run.error, SettingsError)
    assert not run.messages


# Stream maps that change something


def test_an_alias_renames_the_stream_in_all_but_the_state(tap: Tap) -> None:
    page_road = tap("events", prepare=drift_events)
    sdk_road = tap(
        "events", prepare=drift_events, stream_maps={"events": {"__alias__": "happenings"}}
    )
    for message in page_road.messages:
        if "stream" in message:
            message["stream"] = "happenings"
    assert_same(page_road, sdk_road)
    assert set(sdk_road.bookmarks) == {"events"}


def test_a_duplicate_has_every_record_too(tap: Tap) -> None:
    page_road = tap("events", prepare=drift_events)
    sdk_road = tap("events", prepare=drift_events, stream_maps={"copies": {"__source__": "events"}})
    doubled: list[dict[str, Any]] = []
    for message in page_road.messages:
        doubled.append(message)
        if "stream" in message:
            doubled.append(message | {"stream": "copies"})
    page_road.messages = doubled
    assert_same(page_road, sdk_road)


def test_a_filter_leaves_records_out_and_the_bookmark_where_it_is(tap: Tap) -> None:
    page_road = tap("events")
    sdk_road = tap("events", stream_maps={"events": {"__filter__": "id > 2"}})
    page_road.messages = [
        message
        for message in page_road.messages
        if message["type"] != "RECORD" or message["record"]["id"] > 2
    ]
    assert len(page_road.of_type("RECORD")) == 3
    assert_same(page_road, sdk_road)


def test_streams_and_properties_that_no_map_names_can_be_left_out(tap: Tap) -> None:
    page_road = tap("events", "users")
    sdk_road = tap(
        "events",
        "users",
        stream_maps={"events": {"id": "id", "name": "name", "__else__": None}, "__else__": None},
    )
    assert sdk_road.error is None
    assert not sdk_road.pages
    assert sdk_road.states == page_road.states
    assert sdk_road.metrics == page_road.metrics
    assert sdk_road.records == {
        "events": [
            {"id": record["id"], "name": record["name"]} for record in page_road.records["events"]
        ]
    }


# Bookmarks


LAST, YESTER, LONG_AGO, NEAR = "2025-06-01", "2025-05-31", "2024-12-01", "2025-06-02"

KEYS: dict[str, tuple[list[object], str | None]] = {
    "usual": (
        [f"{LONG_AGO}T10:00:00.123Z", f"{YESTER}T10:00:00.123Z", f"{YESTER}T09:00:00.000Z"],
        f"{YESTER}T10:00:00.123000Z",
    ),
    "in other forms": (
        [f"{YESTER}T23:59:59+05:00", f"{YESTER} 18:59:59.5", f"{YESTER}T18:59:59Z"],
        f"{YESTER}T18:59:59.500000Z",
    ),
    "with parts of a second": (
        [f"{YESTER}T10:00:00.1Z", f"{YESTER}T10:00:00.12Z", f"{YESTER}T10:00:00.119999999Z"],
        f"{YESTER}T10:00:00.120000Z",
    ),
    "missing": ([..., None, ""], None),
    "missing but for one": ([..., f"{YESTER}T10:00:00.123Z", None], f"{YESTER}T10:00:00.123000Z"),
    "none at all": (["soon", 20250501, {"at": YESTER}], None),
    "none but for one": (["soon", YESTER, True], f"{YESTER}T00:00:00.000000Z"),
    "newer than the bound": (
        [f"{LAST}T00:00:00.001Z", f"{YESTER}T23:59:59.999Z", "2999-01-01"],
        f"{LAST}T00:00:00.000000Z",
    ),
    "newer by its offset only": (
        [f"{LAST}T01:00:00+02:00", f"{YESTER}T22:30:00-00:30", "soon"],
        f"{YESTER}T23:00:00.000000Z",
    ),
    "of long ago": (["2004-01-01T00:00:00.000Z", "2003-01-01", "0001-01-01T00:00:00+10:00"], None),
}
"""Values of `updatedOn`, and where they move the bookmark."""


@pytest.mark.parametrize("before", [None, LONG_AGO, NEAR])
@pytest.mark.parametrize(("keys", "newest"), KEYS.values(), ids=KEYS)
def test_bookmarks_are_the_same(
    tap: Tap, keys: list[object], newest: str | None, before: str | None
) -> None:
    rows = [
        {"id": number} | ({} if key is ... else {"updatedOn": key})
        for number, key in enumerate(keys, 1)
    ]
    state = state_of(events=before, users="2024-01-01T00:00:00.000000Z") if before else None

    def run(**more: Any) -> Run:
        fault = JsonBody({"Results": rows}).on("events", "first_page")
        # What is older than the lookback moves the bookmark by itself.
        return tap(
            "events", faults=[fault], state=state, end_date=LAST, lookback_hours=24 * 300, **more
        )

    page_road = run()
    assert len(page_road.of_type("RECORD")) == len(rows)
    long_ago = (STARTED - timedelta(hours=24 * 300)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    expected = max(newest or long_ago, f"{before}T00:00:00.000000Z" if before else "")
    assert page_road.bookmarks["events"] == expected
    assert_same(page_road, run(**NOTHING_CHANGES))


def test_states_are_the_same_and_hold_bookmarks_only(
    tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CampusGroupsStream, "STATE_MSG_FREQUENCY", 2)
    state = state_of(events="2024-01-01T00:00:00.000000Z")
    page_road = tap("events", state=state, export_window_days=30)
    row_by_row = tap("events", state=state, export_window_days=30, **NOTHING_CHANGES)
    assert page_road.states == row_by_row.states
    assert len(page_road.states) > 2
    for each in page_road.states:
        assert set(each["bookmarks"]["events"]) == {"replication_key", "replication_key_value"}


def test_a_window_in_which_nothing_lies_is_the_same(tap: Tap) -> None:
    state = state_of(events="2025-07-01T00:00:00.000000Z")
    page_road = tap("events", state=state)
    sdk_road = tap("events", state=state, **NOTHING_CHANGES)
    assert not page_road.pages
    assert not page_road.records
    assert sdk_road.plain == page_road.plain
    assert sdk_road.metrics == page_road.metrics


def test_bookmarks_are_the_same_where_there_are_none(tap: Tap) -> None:
    catalog = catalog_of(["events"])
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
    state = state_of(events="2025-01-01T00:00:00.000000Z")
    page_road = tap(catalog=catalog, state=state)
    assert page_road.bookmarks == {"events": "2025-01-01T00:00:00.000000Z"}
    assert_same(page_road, tap(catalog=catalog, state=state, **NOTHING_CHANGES))


def test_an_export_without_rows_is_the_same(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        dataset["events"].clear()

    page_road = tap("events", prepare=prepare)
    assert page_road.pages == [0]
    assert_same(page_road, tap("events", prepare=prepare, **NOTHING_CHANGES))


@pytest.mark.parametrize("odd", [7, [], None, "x"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_row_that_is_no_object_is_left_out_and_ends_the_run_alike(
    tap: Tap, odd: object, after: int
) -> None:
    def run(**more: Any) -> Run:
        bad = JsonBody({"Results": [{"id": 99, "name": 1}, odd, {"id": 100}]})
        fault = bad.on("events", "later_page" if after else "first_page")
        state = state_of(events="2024-01-01T00:00:00.000000Z")
        # With a concurrency, how far the other export gets is chance.
        return tap("events", "users", faults=[fault], state=state, max_concurrent_exports=1, **more)

    page_road = run()
    assert "1 rows of updatedOn " in str(page_road.error)
    assert len(page_road.records["events"]) == 2 + (PAGE_SIZE if after else 0)
    assert len(page_road.records["users"]) == ROWS
    assert page_road.bookmarks["events"] == "2024-01-01T00:00:00.000000Z"
    assert_same(page_road, run(writer=MsgSpecWriter()))


# A catalog of the user's own


def own_schema(stream: str, *names: str, **properties: Any) -> dict[str, Any]:
    """Make a catalog of one stream, whose schema has only some of the properties and others."""
    catalog = catalog_of([stream])
    (entry,) = (entry for entry in catalog["streams"] if entry["stream"] == stream)
    known = entry["schema"]["properties"]
    entry["schema"]["properties"] = {name: known[name] for name in names} | properties
    entry["metadata"] = [one for one in entry["metadata"] if not one["breadcrumb"]]
    return catalog


def test_a_schema_of_the_user_s_own_is_the_same(tap: Tap) -> None:
    catalog = own_schema(
        "events",
        *("name", "id", "updatedOn", "tags"),
        type={"type": ["string", "null"]},
        capacity={"type": ["string", "integer", "null"]},
        country={"type": ["object", "null"]},
        draft={},
        customFields={"type": ["array", "null"]},
    )
    page_road = tap(prepare=drift_events, catalog=catalog)
    assert page_road.pages == PAGES
    (schema,) = page_road.of_type("SCHEMA")
    assert list(schema["schema"]["properties"])[:3] == ["name", "id", "updatedOn"]
    assert_same(page_road, tap(prepare=drift_events, catalog=catalog, **NOTHING_CHANGES))
    assert_same(page_road, tap(prepare=drift_events, catalog=catalog, writer=MsgSpecWriter()))


# What must not get out


def hide(dataset: Dataset) -> None:
    """Put the sentinel into some fields of every user, in every shape that converts."""
    for row in dataset["users"]:
        row["bio"] = SENTINEL
        row["gender"] = {"id": 1, "name": SENTINEL}
    first, second, third, *_ = dataset["users"]
    first["gender"] = json.dumps(first["gender"])
    second["bio"] = {"text": SENTINEL}
    third["bio"] = [SENTINEL]


HIDDEN = [["bio"], ["gender", "name"]]
MASK = {
    "bio": "sha256(json.dumps(bio))",
    "gender": "sha256(json.dumps(gender))",
    "_extra": None,
}
WAYS_TO_HIDE: dict[str, dict[str, Any]] = {
    "deselected": {"deselected": HIDDEN},
    "deselected, with a map": {
        "deselected": HIDDEN,
        "stream_maps": {"users": {"id": "id"}},
    },
    "deselected, and flattened": {
        "deselected": HIDDEN,
        "flattening_enabled": True,
        "flattening_max_depth": 1,
    },
    "deselected, for a writer of the SDK": {
        "deselected": HIDDEN,
        "writer": MsgSpecWriter(),
    },
    "masked": {"stream_maps": {"users": MASK}},
    "masked and renamed": {"stream_maps": {"users": MASK | {"__alias__": "people"}}},
    "masked by a pattern": {"stream_maps": {"use*": MASK}},
    "removed": {"stream_maps": {"users": {"bio": None, "gender": None, "_extra": None}}},
    "removed by another word": {
        "stream_maps": {"users": {"bio": "__NULL__", "gender": "__NULL__", "_extra": "__NULL__"}}
    },
    "not named": {"stream_maps": {"users": {"id": "id", "__else__": None}}},
    "filtered": {"stream_maps": {"users": {"__filter__": "id > 100"}}},
    "a stream that no map names": {"stream_maps": {"rooms": {"id": "id"}, "__else__": None}},
}


@pytest.mark.parametrize("how", WAYS_TO_HIDE.values(), ids=WAYS_TO_HIDE)
def test_a_hidden_value_gets_out_on_neither_road(tap: Tap, how: dict[str, Any]) -> None:
    plain = tap("users", prepare=hide)
    assert plain.pages == PAGES
    assert plain.text.count(SENTINEL) == 2 * ROWS
    more = {name: value for name, value in how.items() if name != "deselected"}
    catalog = deselected("users", *how.get("deselected", ()))
    hidden = tap(prepare=hide, catalog=catalog, **more)
    assert hidden.error is None
    assert not hidden.pages
    assert SENTINEL not in hidden.text
    assert SENTINEL not in hidden.log
    assert hidden.bookmarks == plain.bookmarks
    assert hidden.metrics == plain.metrics


@pytest.mark.parametrize("path", [["gender", "name"], ["gender", "id"]], ids=repr)
def test_a_deselected_value_does_not_get_out_in_a_wrong_shape_either(
    tap: Tap, path: list[str]
) -> None:
    thing = {path[-1]: SENTINEL}

    def prepare(dataset: Dataset) -> None:
        shapes = [[thing], json.dumps([thing]), repr(thing), {"id": 1} | thing, json.dumps(thing)]
        for row, shape in zip(dataset["users"], shapes, strict=True):
            row["gender"] = shape

    hidden = tap(prepare=prepare, catalog=deselected("users", path))
    assert hidden.error is None
    assert len(hidden.records["users"]) == ROWS
    assert SENTINEL not in hidden.text
    assert SENTINEL not in hidden.log


def test_a_mask_is_that_of_the_value_as_the_page_road_writes_it(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        for number, row in enumerate(dataset["users"]):
            row["bio"] = [f"{SENTINEL}{number}", number, {"a": SENTINEL}, True, 1.50][number]

    plain = tap("users", prepare=prepare)
    masked = tap("users", prepare=prepare, stream_maps={"users": {"bio": "sha256(bio)"}})
    assert SENTINEL in plain.text
    assert SENTINEL not in masked.text
    for message in plain.of_type("RECORD"):
        message["record"]["bio"] = sha256(message["record"]["bio"].encode()).hexdigest()
    assert_same(plain, masked)


def test_a_field_that_the_user_s_schema_lacks_gets_out_on_neither_road(tap: Tap) -> None:
    catalog = own_schema("users", "id", "updatedOn", "email")
    page_road = tap(prepare=hide, catalog=catalog)
    assert page_road.pages == PAGES
    sdk_road = tap(prepare=hide, catalog=catalog, writer=MsgSpecWriter())
    assert_same(page_road, sdk_road)
    for run in (page_road, sdk_road):
        assert SENTINEL not in run.text
        assert SENTINEL not in run.log
