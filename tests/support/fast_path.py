"""Comparison of the fast path (whole pages) with the SDK's path (single records)."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from singer_sdk.metrics import METRICS_LOGGER_NAME, Point

from tap_campusgroups.records.writer import PageWriter
from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, Output, only, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pytest
    from singer_sdk.singerlib.encoding import GenericSingerWriter

    from tests.simulator import Fault, Row


ROWS = 5
PAGE_SIZE = 2
PAGES = [2, 2, 1]
SENTINEL = "sentinel-7b41"
STARTED = datetime(2025, 6, 3, tzinfo=UTC)
"""Start of every run; simulators serve the rows of the same window in the same order."""


@dataclass
class Run(Output):
    """Output and log of a run.

    Attributes:
        pages: Number of records in each page that was written as a whole.
        metrics: Metrics of the SDK without durations, sorted.
        reports: Summaries of the streams without `age_hours`.
        rows: Records per completed stream, from the log.
        warnings: Other log messages of level WARNING and above.
        log: The whole log.
    """

    pages: Sequence[int] = ()
    metrics: Sequence[str] = ()
    reports: Sequence[Mapping[str, Any]] = ()
    rows: Sequence[int] = ()
    warnings: Sequence[str] = ()
    log: str = ""

    @property
    def plain(self) -> list[dict[str, Any]]:
        """The messages with sorted keys, without `time_extracted`."""
        without = (message | {"time_extracted": None} for message in self.messages)
        return [_ordered(message) for message in without]


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def metric(point: Point[Any]) -> str:
    """Format a metric; of a duration, only whether it is not negative."""
    tags = {str(name): str(value) for name, value in point.tags.items() if name != "pid"}
    value = point.value if point.metric_type == "counter" else point.value >= 0
    return f"{point.metric_type} {point.metric.value} {value} {sorted(tags.items())}"


@cache
def _catalog(streams: tuple[str, ...]) -> str:
    return json.dumps(only(*streams))


class Tap:
    """Runs the tap in this process, each time with a new simulator."""

    def __init__(self, patch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._pages: list[int] = []
        write_lines = PageWriter.write_lines

        def spy(writer: PageWriter, lines: bytes) -> None:
            self._pages.append(lines.count(b"\n"))
            write_lines(writer, lines)

        patch.setattr(PageWriter, "write_lines", spy)

    def __call__(
        self,
        *streams: str,
        prepare: Callable[[Dataset], object] = lambda _: None,
        faults: Sequence[Fault] = (),
        writer: GenericSingerWriter[Any, Any] | None = None,
        catalog: dict[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Run:
        """Run the tap.

        Args:
            *streams: Streams to select, unless a catalog is given.
            prepare: Changes the rows of the simulator.
            faults: Faults of the simulator.
            writer: Message writer to use instead of the tap's.
            catalog: Catalog of the run.
            state: State of a previous run.
            **settings: Additional settings.
        """
        catalog = catalog or json.loads(_catalog(streams))
        self._caplog.clear()
        self._caplog.set_level(logging.DEBUG, logger="tap-campusgroups")
        self._pages.clear()
        dataset = Dataset(ROWS, newest=NEWEST)
        prepare(dataset)
        names = [entry["tap_stream_id"] for entry in catalog["streams"]]
        # A copy, because the SDK modifies its arguments.
        catalog = json.loads(json.dumps(catalog))
        with Simulator(dataset) as simulator:
            for fault in faults:
                simulator.inject(fault)
            config = settings_for(simulator) | {"page_size": PAGE_SIZE} | settings
            config = json.loads(json.dumps(config))
            output = sync(
                config, *names, state=state, catalog=catalog, started=STARTED, writer=writer
            )
        points = (record.args for record in self._records(METRICS_LOGGER_NAME, logging.INFO))
        return Run(
            [json.loads(line, parse_float=Decimal) for line in output.text.split("\n")[:-1]],
            output.error,
            output.text,
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
                int(record.getMessage().partition("records=")[2].split()[0])
                for record in self._records("", logging.DEBUG)
                if record.getMessage().startswith("Stream completed: ")
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


NEUTRAL_MAP: dict[str, Any] = {"stream_maps": {"events": {"__filter__": "True"}}}
"""A stream map that changes nothing, but makes the SDK process each record."""


def drift(rows: list[Row]) -> None:
    """Change each row in another way that its schema does not expect."""
    as_text, mismatched, unknown, short, _ = rows
    for name, value in as_text.items():
        if name not in {"id", "updatedOn"} and value is not None:
            as_text[name] = value if isinstance(value, str) else json.dumps(value)
    for name in mismatched:
        if name not in {"id", "updatedOn"}:
            mismatched[name] = {"odd": [1.5, "12.50", None, 2**60, "\u2028"], "name": 7}
    unknown |= {"shoeSize": {"eu": 44}, "id ": None, "": [1]}
    for name in list(short)[2:]:
        if name != "updatedOn":
            del short[name]


def drift_everywhere(dataset: Dataset) -> None:
    """Apply `drift` to the rows of all streams."""
    for stream in dataset.streams:
        drift(dataset[stream])


def drift_events(dataset: Dataset) -> None:
    """Apply `drift` to the rows of events."""
    drift(dataset["events"])


def assert_same_run(fast: Run, sdk: Run) -> None:
    """Check that the runs used different paths, with the same output, log and metrics."""
    assert fast.pages
    assert not sdk.pages
    assert sdk.plain == fast.plain
    # 1, 1.0 and True are equal, but not the same output.
    assert repr(sdk.plain) == repr(fast.plain)
    assert sdk.states == fast.states
    assert sdk.metrics == fast.metrics
    assert fast.reports
    assert sdk.reports == fast.reports
    assert sdk.rows == fast.rows
    assert sdk.warnings == fast.warnings
    assert str(sdk.error) == str(fast.error)
    for message in fast.of_type("RECORD") + sdk.of_type("RECORD"):
        assert set(message) - {"version"} == {"type", "stream", "record", "time_extracted"}
        extracted = datetime.fromisoformat(message["time_extracted"])
        assert abs((datetime.now(UTC) - extracted).total_seconds()) < 300


def catalog_without(stream: str, *paths: Sequence[str]) -> dict[str, Any]:
    """Return a catalog of one stream without some of its properties."""
    catalog = only(stream)
    (entry,) = (entry for entry in catalog["streams"] if entry["stream"] == stream)
    for path in paths:
        breadcrumb = [part for name in path for part in ("properties", name)]
        (found,) = (one for one in entry["metadata"] if one["breadcrumb"] == breadcrumb)
        found["metadata"]["selected"] = False
    return catalog


def user_catalog(stream: str, *names: str, **properties: Any) -> dict[str, Any]:
    """Return a catalog of one stream with some known properties and additional ones."""
    catalog = only(stream)
    (entry,) = (entry for entry in catalog["streams"] if entry["stream"] == stream)
    known = entry["schema"]["properties"]
    entry["schema"]["properties"] = {name: known[name] for name in names} | properties
    entry["metadata"] = [one for one in entry["metadata"] if not one["breadcrumb"]]
    return catalog
