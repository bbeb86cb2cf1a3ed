"""The figures that the benchmarks measure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

Figure: TypeAlias = Literal[
    "wall", "cpu", "peak_rss_mib", "requests", "peak_active_exports", "records_per_cpu_second"
]


@dataclass(frozen=True)
class Sample:
    """Figures of one run.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of CPU.
        peak_rss_mib: Peak memory in MiB.
        records_per_cpu_second: 0 if the run read no records.
        requests: Requests that the service received.
        peak_active_exports: Maximum number of exports queued or running at the same time.
        service_cpu: CPU seconds of the simulator during the run. If this is close to `wall`, the
            simulator was the bottleneck.
    """

    wall: float
    cpu: float
    peak_rss_mib: float
    records_per_cpu_second: float
    requests: int
    peak_active_exports: int
    service_cpu: float


@dataclass
class Series:
    """All runs of one candidate.

    Attributes:
        name: Name of the candidate.
        rows: Rows that each run read.
        samples: Figures of each run.
        medians: Median of each figure.
    """

    name: str
    rows: int
    samples: tuple[Sample, ...]
    medians: dict[Figure, float] = field(init=False)

    def __post_init__(self) -> None:
        """Compute the medians."""
        self.medians = {
            figure: float(statistics.median(getattr(sample, figure) for sample in self.samples))
            for figure in get_args(Figure)
        }

    def range(self, figure: Figure) -> tuple[float, float]:
        """Return the minimum and the maximum of a figure."""
        values = [getattr(sample, figure) for sample in self.samples]
        return min(values), max(values)

    def ratio(self, figure: Figure, baseline: Series) -> float:
        """Return the median of a figure as a multiple of another series' median."""
        return self.medians[figure] / baseline.medians[figure]


@dataclass(frozen=True)
class Throughput:
    """A sync of all streams without latency.

    Attributes:
        series: Series by candidate.
        lower_bounds: Records per CPU second of minimal loops, by JSON library.
    """

    series: dict[str, Series]
    lower_bounds: dict[str, float]


@dataclass(frozen=True)
class Waiting:
    """A sync of all streams with the latency of a real service.

    Attributes:
        ideal: Duration of the longest stream's export and pages in seconds.
        export_seconds: Duration of each export.
        page_seconds: Latency of each page.
        longest_pages: Pages of the longest stream.
        taps: Series of the tap by `max_concurrent_exports`.
        plain: Series of the plain tap.
    """

    ideal: float
    export_seconds: float
    page_seconds: float
    longest_pages: int
    taps: dict[int, Series]
    plain: Series


@dataclass(frozen=True)
class Memory:
    """Peak memory by number of rows.

    Attributes:
        few: Series by candidate.
        many: Series by candidate, with ten times as many rows.
    """

    few: dict[str, Series]
    many: dict[str, Series]


@dataclass
class Results:
    """Results of all scenarios; None for those that did not run.

    Attributes:
        load: Series of the whole pipeline, by the loader's settings.
        startup: Series of the discovery, by candidate.
    """

    throughput: Throughput | None = None
    waiting: Waiting | None = None
    memory: Memory | None = None
    load: dict[str, Series] | None = None
    startup: dict[str, Series] | None = None
