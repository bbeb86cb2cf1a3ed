"""What the benchmarks found: runs, tables to be, and figures for the targets."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

Figure: TypeAlias = Literal[
    "wall", "cpu", "peak_rss_mib", "requests", "exports_at_once", "records_per_cpu_second"
]


@dataclass(frozen=True)
class Sample:
    """What one run used.

    Attributes:
        wall: Seconds.
        cpu: Seconds of CPU.
        peak_rss_mib: MiB of memory at the peak.
        records_per_cpu_second: 0 where no records were read.
        requests: Requests that the service got.
        exports_at_once: Most exports that were queued or running at the service at once.
        service_cpu: Seconds of CPU of the simulator meanwhile: near `wall`, it held the run up.
    """

    wall: float
    cpu: float
    peak_rss_mib: float
    records_per_cpu_second: float
    requests: int
    exports_at_once: int
    service_cpu: float


@dataclass
class Series:
    """The runs of one contender.

    Attributes:
        name: Of the contender.
        rows: Rows that each run read.
        samples: The runs.
        medians: Of each figure by itself.
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

    def median(self, figure: Figure) -> float:
        """Give the median of a figure."""
        return self.medians[figure]

    def extent(self, figure: Figure) -> tuple[float, float]:
        """Give the least and the greatest of a figure."""
        values = [getattr(sample, figure) for sample in self.samples]
        return min(values), max(values)


@dataclass(frozen=True)
class Floor:
    """What no tap can be faster than.

    Attributes:
        name: How the records were made.
        rows: How many.
        records_per_cpu_second: The median.
    """

    name: str
    rows: int
    records_per_cpu_second: float


@dataclass(frozen=True)
class Throughput:
    """Everything, from a service that answers at once."""

    tap: Series
    plain: Series
    floors: tuple[Floor, ...]


@dataclass(frozen=True)
class Waiting:
    """Everything, from a service that takes its time.

    Attributes:
        ideal: Seconds that the longest stream takes if nothing else is waited for.
        export_seconds: Seconds that an export runs.
        page_seconds: Seconds before each page.
        longest_pages: Pages of the longest stream.
        taps: The tap, by how many exports it may have at once.
        plain: The plain tap.
    """

    ideal: float
    export_seconds: float
    page_seconds: float
    longest_pages: int
    taps: dict[int, Series]
    plain: Series


@dataclass(frozen=True)
class Memory:
    """Ever more rows.

    Attributes:
        few: Series with the fewer rows, by contender.
        many: Series with ten times as many.
    """

    few: dict[str, Series]
    many: dict[str, Series]


@dataclass(frozen=True)
class Startup:
    """Discovery, which is little more than starting up."""

    tap: Series
    bare: Series


@dataclass
class Results:
    """All that was measured; a part that did not run is None."""

    throughput: Throughput | None = None
    waiting: Waiting | None = None
    memory: Memory | None = None
    startup: Startup | None = None
