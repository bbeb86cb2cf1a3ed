"""The scenarios that the benchmarks measure."""

from __future__ import annotations

import io
import math
import pstats
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.benchmarks import warehouse
from tests.benchmarks.measurement import PLAIN_TAP, CandidateError, read_slowly
from tests.simulator import Dataset, Simulator
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.benchmarks.measurement import Bench, Series

_NEWEST: Final = datetime(2025, 6, 1, 12, tzinfo=UTC)

# Rows of the large streams: with 1,000 and 100 for each other one, 200,000 and 80,000 in total.
_ROWS: Final = {"events": 20_000, "users": 40_000, "rsvp": 120_000}
_WAITING_ROWS: Final = {"events": 18_600, "users": 18_500, "rsvp": 40_900}
_EXPORT_SECONDS, _PAGE_SECONDS = 3.0, 0.15


class Report(NamedTuple):
    """What a scenario measured, and the series that each series is compared with."""

    caption: str
    series: Sequence[Series]
    baselines: Mapping[Series, Series]


def _dataset(scale: float, large: Mapping[str, int] | None = None, others: int = 1_000) -> Dataset:
    """Return the service's rows."""
    counts = dict.fromkeys(Dataset(0, newest=_NEWEST).streams, others) | dict(large or _ROWS)
    scaled = {stream: max(1, round(count * scale)) for stream, count in counts.items()}
    return Dataset(scaled, newest=_NEWEST)


@contextmanager
def _serve(dataset: Dataset) -> Iterator[Simulator]:
    """Yield a service that has generated all rows, so that generation is not measured."""
    dataset.freeze()
    dataset.preload()
    with Simulator(dataset) as service:
        yield service


def throughput(bench: Bench) -> Report:
    """Sync 200,000 rows of all streams from a service without latency."""
    candidates = [*bench.taps(), PLAIN_TAP]
    with _serve(_dataset(bench.scale)) as service:
        bench.check(candidates, service)
        series = bench.measure(dict.fromkeys(candidates, bench.runs or 3), service)
    caption = "All streams, no latency. Compared: the second candidate."
    return Report(caption, series, dict.fromkeys(series, series[1]))


def waiting(bench: Bench) -> Report:
    """Sync 80,000 rows of all streams from a service with realistic latency."""
    one, *concurrent = (bench.taps(f", {cap} at once", cap)[0] for cap in (1, 4, 23))
    # Sequential exports take minutes, and their duration hardly varies: one run is enough.
    sequential = [one, PLAIN_TAP]
    runs = dict.fromkeys(concurrent, bench.runs or 3) | dict.fromkeys(sequential, bench.runs or 1)
    with _serve(_dataset(bench.scale, _WAITING_ROWS, 100)) as service:
        # Latency does not affect the output of sequential exports.
        bench.check(sequential, service)
        service.timing.running_seconds = _EXPORT_SECONDS
        service.timing.page_seconds = _PAGE_SECONDS
        bench.check(concurrent, service)
        series = bench.measure(runs, service)
        pages = math.ceil(max(service.dataset.counts.values()) / 999)
    ideal = f"The longest stream needs {_EXPORT_SECONDS + pages * _PAGE_SECONDS:.1f} s."
    caption = f"All streams, exports and pages take time. {ideal} Compared: the plain tap."
    return Report(caption, series, dict.fromkeys(series, series[-1]))


def memory(bench: Bench) -> Report:
    """Measure how peak memory depends on the rows, the exports at once and the reader."""
    variants = [
        (0.5, bench.taps(", few rows")),
        (5.0, bench.taps(", many rows")),
        (1.0, bench.taps(", 23 at once", 23)),
        (1.0, bench.taps(", 23, slow reader", 23, read_slowly)),
    ]
    pairs = []
    for size, taps in variants:
        with _serve(_dataset(bench.scale * size)) as service:
            bench.check(taps, service)
            pairs.append(bench.measure(dict.fromkeys(taps, bench.runs or 3), service))
    caption = "All streams, no latency. A slow reader takes 10 MiB per second."
    series = [one for found in pairs for one in found]
    if bench.against is None:
        return Report(f"{caption} Compared: few rows.", series, {series[1]: series[0]})
    baselines = dict(zip(series[::2], series[1::2], strict=True))
    return Report(f"{caption} Compared: the other checkout.", series, baselines)


def load(bench: Bench) -> Report:
    """Load 75,000 rows of all streams into PostgreSQL, with two drivers and with validation."""
    settings = warehouse.loader_settings()
    dataset = _dataset(bench.scale * 0.375)
    with postgres() as database, _serve(dataset) as service:
        other_driver = database.sqlalchemy_url.replace("psycopg:", "psycopg2:")
        variants: Mapping[str, Mapping[str, object]] = {
            "documented": {},
            "psycopg2": {"sqlalchemy_url": other_driver},
            "validating": {"validate_records": True},
        }
        candidates = [
            warehouse.pipeline(bench, name, {**settings, **values}, database)
            for name, values in variants.items()
        ]
        series = bench.measure(dict.fromkeys(candidates, bench.runs or 3), service)
        for name in variants:
            problem = warehouse.missing_rows(
                database, name, dataset.counts
            ) or warehouse.different_values(database, name, "documented", dataset.counts)
            if problem is not None:
                raise CandidateError(name, problem)
    caption = "Tap and target-postgres, no latency. All values are equal. Compared: documented."
    return Report(caption, series, dict.fromkeys(series, series[0]))


def startup(bench: Bench) -> Report:
    """Discover the streams, which loads all modules, settings and schemas."""
    candidates = [
        replace(one, command=(*one.command[:3], "--discover")) for one in (*bench.taps(), PLAIN_TAP)
    ]
    # The first runs bring the files into the operating system's cache.
    bench.measure(dict.fromkeys(candidates, 1))
    series = bench.measure(dict.fromkeys(candidates, bench.runs or 7))
    caption = "--discover. Compared: the second candidate."
    return Report(caption, series, dict.fromkeys(series, series[1]))


def profile(bench: Bench) -> str:
    """Profile the `throughput` sync and return the slowest functions of the main thread."""
    file = bench.home / "profile"
    # Not `-m cProfile`: the tap's entry point ends with os._exit, before the profile is written.
    program = (
        "import cProfile; from tap_campusgroups.tap import TapCampusGroups; "
        f"cProfile.run('TapCampusGroups.cli()', {str(file)!r})"
    )
    tap = bench.taps()[0]
    profiled = replace(tap, command=[tap.command[0], "-c", program, "--config", "ENV"])
    with _serve(_dataset(bench.scale)) as service:
        bench.check([profiled], service)
    text = io.StringIO()
    pstats.Stats(str(file), stream=text).strip_dirs().sort_stats("time").print_stats(15)
    return text.getvalue()
