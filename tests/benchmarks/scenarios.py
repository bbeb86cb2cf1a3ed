"""The scenarios that the benchmarks measure."""

from __future__ import annotations

import io
import math
import pstats
import statistics
from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING, Final

import msgspec

from tests.benchmarks import datasets, processes
from tests.benchmarks.candidates import (
    LOWER_BOUND,
    MINIMAL_TAP,
    PLAIN_TAP,
    other_tap,
    pipeline,
    tap,
)
from tests.benchmarks.checks import check_catalog, check_records
from tests.benchmarks.results import Memory, Throughput, Waiting
from tests.benchmarks.runner import Runner, interleave
from tests.benchmarks.warehouse import (
    PROJECT_SETTINGS,
    VALIDATING,
    Warehouse,
    project_environment,
    project_settings,
)
from tests.simulator import Simulator
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.candidates import Candidate
    from tests.benchmarks.results import Sample, Series

_RUNS: Final = 3
_STARTUP_RUNS: Final = 7

_EXPORT_SECONDS: Final = 3.0
_PAGE_SECONDS: Final = 0.15
# 80,000 rows in total; the longest stream has 41 pages.
_WAITING_ROWS: Final = {"events": 18_600, "users": 18_500, "rsvp": 40_900}

_FEW: Final = 0.5
_MANY: Final = 5.0

_LOAD: Final = 0.375

_PROFILED_FUNCTIONS: Final = 15


class _Measured(msgspec.Struct):
    records: int
    cpu: float


def throughput(runner: Runner) -> Throughput:
    """Sync 200,000 rows of all streams from a service without latency."""
    counts = datasets.default_row_counts(runner.scale)
    rows = sum(counts.values())
    runs = runner.runs or _RUNS
    candidates = [tap(runner.tap_folder), PLAIN_TAP]
    if runner.against is not None:
        candidates.insert(1, other_tap(runner.against, runner.home))
    check = partial(check_records, expected=counts)
    with Simulator(datasets.generate(counts)) as simulator:
        for candidate in candidates:
            runner.check(candidate, check, simulator)
        measure = partial(runner.measure, simulator=simulator)
        series = interleave([(candidate, runs) for candidate in candidates], measure, rows)
        bounds = [_lower_bounds(runner, simulator, rows) for _ in range(runs)]
    return Throughput(
        series, {name: statistics.median(bound[name] for bound in bounds) for name in bounds[0]}
    )


def _lower_bounds(runner: Runner, simulator: Simulator, rows: int) -> dict[str, float]:
    """Measure the records per CPU second of each JSON library."""
    measured: dict[str, _Measured] = {}

    def read(output: IO[bytes]) -> str | None:
        measured.update(msgspec.json.decode(output.read(), type=dict[str, _Measured]))
        if all(library.records == rows for library in measured.values()):
            return None
        return "did not process every row"

    processes.run(LOWER_BOUND, home=runner.home, simulator=simulator, check=read)
    return {name: rows / library.cpu for name, library in measured.items()}


def waiting(runner: Runner, concurrency: Sequence[int]) -> Waiting:
    """Sync 80,000 rows of all streams from a service with realistic latency.

    Args:
        runner: Runs the candidates.
        concurrency: Values of `max_concurrent_exports` to measure.
    """
    counts = datasets.row_counts(_WAITING_ROWS, 100, runner.scale)
    taps = {
        limit: tap(
            runner.tap_folder,
            name=f"tap, {limit} export{'s' if limit > 1 else ''}",
            # The plain tap polls at the same interval.
            settings={"max_concurrent_exports": str(limit), "poll_interval_max_seconds": "1"},
        )
        for limit in concurrency
    }
    concurrent = [candidate for limit, candidate in taps.items() if limit > 1]
    # Sequential exports take minutes, and their duration hardly varies: one run is enough.
    sequential = [*(candidate for limit, candidate in taps.items() if limit == 1), PLAIN_TAP]
    runs = [
        *((candidate, runner.runs or _RUNS) for candidate in concurrent),
        *((candidate, runner.runs or 1) for candidate in sequential),
    ]
    check = partial(check_records, expected=counts)
    with Simulator(datasets.generate(counts)) as simulator:
        # Latency does not affect the output of sequential exports.
        for candidate in sequential:
            runner.check(candidate, check, simulator)
        simulator.timing.running_seconds = _EXPORT_SECONDS
        simulator.timing.page_seconds = _PAGE_SECONDS
        for candidate in concurrent:
            runner.check(candidate, check, simulator)
        measure = partial(runner.measure, simulator=simulator)
        series = interleave(runs, measure, sum(counts.values()))
    pages = math.ceil(max(counts.values()) / datasets.PAGE_SIZE)
    return Waiting(
        ideal=_EXPORT_SECONDS + pages * _PAGE_SECONDS,
        export_seconds=_EXPORT_SECONDS,
        page_seconds=_PAGE_SECONDS,
        longest_pages=pages,
        taps={limit: series[candidate.name] for limit, candidate in taps.items()},
        plain=series[PLAIN_TAP.name],
    )


def memory(runner: Runner) -> Memory:
    """Sync 100,000 rows and ten times as many, to see whether peak memory grows."""
    return Memory(few=_memory(runner, _FEW), many=_memory(runner, _MANY))


def _memory(runner: Runner, scale: float) -> dict[str, Series]:
    counts = datasets.default_row_counts(runner.scale * scale)
    check = partial(check_records, expected=counts)
    this_tap = tap(runner.tap_folder)
    with Simulator(datasets.generate(counts)) as simulator:

        def measure(candidate: Candidate) -> Sample:
            # A run of the plain tap takes minutes, so the measured run is also the checked one.
            # The check does not affect its memory, because the plain tap does not prefetch.
            return runner.measure(candidate, simulator, check if candidate is PLAIN_TAP else None)

        runner.check(this_tap, check, simulator)
        runs = [(this_tap, runner.runs or _RUNS), (PLAIN_TAP, 1)]
        return interleave(runs, measure, sum(counts.values()))


def load(runner: Runner) -> dict[str, Series]:
    """Load 75,000 rows of all streams into PostgreSQL, with and without the loader's validation.

    Raises:
        CandidateError: If a value in the database differs from the service's.
    """
    counts = datasets.default_row_counts(runner.scale * _LOAD)
    settings = project_settings()
    variants = {VALIDATING: {**settings, "validate_records": True}, PROJECT_SETTINGS: settings}
    dataset, rows = datasets.generate_with_rows(counts)
    with postgres() as database, Simulator(dataset) as simulator:
        warehouse = Warehouse(database, rows)
        candidates = []
        for number, (name, values) in enumerate(variants.items()):
            config = runner.home / f"loader-{number}.json"
            warehouse.write_config(config, name, values)
            candidates.append(pipeline(runner.tap_folder, name, config, project_environment()))

        def measure(candidate: Candidate) -> Sample:
            warehouse.drop(candidate.name)
            sample = runner.measure(candidate, simulator)
            # The shell reports the loader's exit code only, not the tap's.
            _raise_if(candidate, warehouse.missing_rows(candidate.name))
            return sample

        runs = [(candidate, runner.runs or _RUNS) for candidate in candidates]
        series = interleave(runs, measure, sum(counts.values()))
        runner.display.progress("comparing all values")
        first, second = candidates
        schemas = {stream: dataset.schema(stream) for stream in rows}
        _raise_if(first, warehouse.difference_from_service(first.name, schemas))
        _raise_if(second, warehouse.difference(second.name, first.name))
    return series


def _raise_if(candidate: Candidate, problem: str | None) -> None:
    if problem is not None:
        message = f"{candidate.name} {problem}."
        raise processes.CandidateError(message)


def startup(runner: Runner) -> dict[str, Series]:
    """Discover the streams, which loads all modules, settings and schemas."""
    discovery = tap(runner.tap_folder, "--discover")
    # These runs also bring the files into the operating system's cache.
    runner.check(discovery, partial(check_catalog, expected=len(datasets.streams())))
    runner.check(MINIMAL_TAP, partial(check_catalog, expected=1))
    runs = runner.runs or _STARTUP_RUNS
    return interleave([(discovery, runs), (MINIMAL_TAP, runs)], runner.measure, 0)


def profile(runner: Runner) -> str:
    """Profile the `throughput` sync and return the slowest functions of the main thread."""
    counts = datasets.default_row_counts(runner.scale)
    file = runner.home / "profile"
    # Not `-m cProfile`: the tap's entry point ends with os._exit, before the profile is written.
    program = (
        "import cProfile; from tap_campusgroups.tap import TapCampusGroups; "
        f"cProfile.run('TapCampusGroups.cli()', {str(file)!r})"
    )
    profiled = replace(tap(runner.tap_folder), arguments=("-c", program, "--config", "ENV"))
    with Simulator(datasets.generate(counts)) as simulator:
        runner.check(profiled, partial(check_records, expected=counts), simulator)
    text = io.StringIO()
    stats = pstats.Stats(str(file), stream=text).strip_dirs()
    stats.sort_stats(pstats.SortKey.TIME).print_stats(_PROFILED_FUNCTIONS)
    # The first line names the temporary file.
    return "\n".join(line for line in text.getvalue().splitlines()[1:] if line.strip())
