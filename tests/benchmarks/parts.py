"""The benchmarks: what each runs, against what, how often."""

from __future__ import annotations

import io
import math
import pstats
import statistics
from functools import partial
from typing import IO, TYPE_CHECKING, Final

import msgspec

from tests.benchmarks import service
from tests.benchmarks.bench import TIMEOUT, Bench, Entry, interleave
from tests.benchmarks.checks import CatalogCheck, RowCheck
from tests.benchmarks.processes import run
from tests.benchmarks.results import Floor, Memory, Series, Startup, Throughput, Waiting
from tests.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.contenders import Contender
    from tests.benchmarks.results import Sample

_RUNS: Final = 3
_STARTUP_RUNS: Final = 7

_EXPORT_SECONDS: Final = 3.0
_PAGE_SECONDS: Final = 0.15
# 80,000 rows in all, of which the longest stream has 41 pages.
_WAITING_ROWS: Final = {"events": 18_600, "users": 18_500, "rsvp": 40_900}

_FEW: Final = 0.5
_MANY: Final = 5.0

_PROFILED: Final = 15


class _Loop(msgspec.Struct):
    records: int
    cpu: float


def throughput(bench: Bench) -> Throughput:
    """Read 200,000 rows of all streams from a service that answers at once."""
    counts = service.usual_rows(bench.scale)
    rows = sum(counts.values())
    runs = bench.runs or _RUNS
    tap, plain = bench.contenders.tap(), bench.contenders.plain()
    with Simulator(service.dataset(counts)) as simulator:
        for contender in (tap, plain):
            bench.check(contender, RowCheck(contender.name, counts), simulator)
        of_tap, of_plain = interleave(
            [Entry(tap, runs), Entry(plain, runs)], partial(bench.sample, simulator=simulator), rows
        )
        loops = [_floors(bench, simulator, rows) for _ in range(runs)]
    floors = tuple(
        Floor(name, rows, statistics.median(rows / loop[name].cpu for loop in loops))
        for name in loops[0]
    )
    return Throughput(of_tap, of_plain, floors)


def _floors(bench: Bench, simulator: Simulator, rows: int) -> dict[str, _Loop]:
    floor = bench.contenders.floor()
    written = io.BytesIO()

    def read(output: IO[bytes]) -> None:
        written.write(output.read())

    run(floor, home=bench.home, simulator=simulator, timeout=TIMEOUT, read=read)
    loops = msgspec.json.decode(written.getvalue(), type=dict[str, _Loop])
    if any(loop.records != rows for loop in loops.values()):
        message = "the floor did not see every row"
        raise RuntimeError(message)
    return loops


def waiting(bench: Bench, caps: Sequence[int]) -> Waiting:
    """Read 80,000 rows of all streams from a service that takes its time.

    Args:
        bench: What all benchmarks have in common.
        caps: How many exports the tap may have at once, one series each.
    """
    counts = service.rows(_WAITING_ROWS, 100, bench.scale)
    rows = sum(counts.values())
    # Polls as often as the plain tap does.
    taps = {
        cap: bench.contenders.tap(
            name=f"tap, {cap} at once",
            settings={"max_concurrent_exports": str(cap), "poll_interval_max_seconds": "1"},
        )
        for cap in caps
    }
    plain = bench.contenders.plain()
    # One export after the other takes minutes, and varies by little.
    side_by_side = [contender for cap, contender in taps.items() if cap > 1]
    in_turn = [contender for cap, contender in taps.items() if cap == 1] + [plain]
    entries = [
        *(Entry(contender, bench.runs or _RUNS) for contender in side_by_side),
        *(Entry(contender, bench.runs or 1) for contender in in_turn),
    ]
    with Simulator(service.dataset(counts)) as simulator:
        for contender in in_turn:
            # No wait could mix up what runs one after the other.
            bench.check(contender, RowCheck(contender.name, counts), simulator)
        simulator.timing.running_seconds = _EXPORT_SECONDS
        simulator.timing.page_seconds = _PAGE_SECONDS
        for contender in side_by_side:
            bench.check(contender, RowCheck(contender.name, counts), simulator)
        found = interleave(entries, partial(bench.sample, simulator=simulator), rows)
    series = {one.name: one for one in found}
    pages = math.ceil(max(counts.values()) / service.PAGE_SIZE)
    return Waiting(
        ideal=_EXPORT_SECONDS + pages * _PAGE_SECONDS,
        export_seconds=_EXPORT_SECONDS,
        page_seconds=_PAGE_SECONDS,
        longest_pages=pages,
        taps={cap: series[contender.name] for cap, contender in taps.items()},
        plain=series[plain.name],
    )


def memory(bench: Bench) -> Memory:
    """Read 100,000 rows and ten times as many: the peak of memory should not tell them apart."""
    tap, plain = bench.contenders.tap(), bench.contenders.plain()
    entries = [Entry(tap, bench.runs or _RUNS), Entry(plain, 1)]

    def measure(scale: float) -> dict[str, Series]:
        counts = service.usual_rows(bench.scale * scale)

        def sample(contender: Contender) -> Sample:
            # The plain tap's one run is checked itself: it takes minutes, and as nothing in it
            # reads ahead, its memory does not depend on how fast its output is read.
            check = RowCheck(contender.name, counts) if contender is plain else None
            return bench.sample(contender, simulator, check)

        with Simulator(service.dataset(counts)) as simulator:
            bench.check(tap, RowCheck(tap.name, counts), simulator)
            found = interleave(entries, sample, sum(counts.values()))
        return {one.name: one for one in found}

    return Memory(few=measure(_FEW), many=measure(_MANY))


def startup(bench: Bench) -> Startup:
    """Discover the streams: reading modules, settings and schemas."""
    tap, bare = bench.contenders.tap("--discover"), bench.contenders.bare()
    bench.check(tap, CatalogCheck(tap.name, len(service.streams())))
    bench.check(bare, CatalogCheck(bare.name, 1))
    runs = bench.runs or _STARTUP_RUNS
    found = interleave([Entry(tap, runs), Entry(bare, runs)], bench.sample, 0)
    # The first run also reads from the disk.
    of_tap, of_bare = (Series(one.name, one.rows, one.samples[1:] or one.samples) for one in found)
    return Startup(of_tap, of_bare)


def profile(bench: Bench) -> str:
    """Run the tap of `throughput` under cProfile; return where its main thread was longest."""
    counts = service.usual_rows(bench.scale)
    file = bench.home / "profile"
    profiled = bench.contenders.tap(interpreter=("-m", "cProfile", "-o", str(file)))
    with Simulator(service.dataset(counts)) as simulator:
        bench.check(profiled, RowCheck(profiled.name, counts), simulator)
    text = io.StringIO()
    statistic = pstats.Stats(str(file), stream=text).strip_dirs()
    statistic.sort_stats(pstats.SortKey.TIME).print_stats(_PROFILED)
    # The first line names the file, which is gone.
    return "\n".join(line for line in text.getvalue().splitlines()[1:] if line.strip())
