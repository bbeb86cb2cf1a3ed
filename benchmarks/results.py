"""What the benchmarks found: tables to be, and figures for the targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.series import Series


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
