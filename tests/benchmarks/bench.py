"""Runs contenders in turn, and notes what each run used."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Protocol

from tests.benchmarks.processes import run
from tests.benchmarks.results import Sample, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.benchmarks.contenders import Contender, Contenders
    from tests.benchmarks.display import Display
    from tests.simulator import Simulator

TIMEOUT: Final = 900.0
"""Seconds after which a run is given up."""

_MIB: Final = 1024 * 1024


class Check(Protocol):
    """Reads the output of a run and judges it."""

    def read(self, output: IO[bytes]) -> None:
        """Read to the end of the output."""

    def verdict(self) -> None:
        """Judge what was read; raise `ContenderError` if it is not right."""


@dataclass(frozen=True)
class Bench:
    """What all benchmarks have in common.

    Attributes:
        contenders: Makes the contenders.
        display: Shows how far it is.
        home: An empty folder, the contenders' home.
        scale: Factor on the rows.
        runs: Runs of each contender, if not as many as a benchmark has by default.
    """

    contenders: Contenders
    display: Display
    home: Path
    scale: float = 1.0
    runs: int | None = None

    def check(self, contender: Contender, check: Check, simulator: Simulator | None = None) -> None:
        """Run a contender for its output only."""
        self.display.note(f"{contender.name}: a run to check its output")
        run(contender, home=self.home, simulator=simulator, timeout=TIMEOUT, read=check.read)
        check.verdict()

    def sample(
        self, contender: Contender, simulator: Simulator | None = None, check: Check | None = None
    ) -> Sample:
        """Run a contender for its figures.

        Args:
            contender: The contender.
            simulator: The service, if it is to read from it.
            check: Reads the output, where time does not matter; it goes nowhere otherwise.
        """
        if simulator is not None:
            simulator.reset_log()
        before = time.process_time()
        usage = run(
            contender,
            home=self.home,
            simulator=simulator,
            timeout=TIMEOUT,
            read=None if check is None else check.read,
        )
        service_cpu = time.process_time() - before
        if check is not None:
            check.verdict()
        rows = 0 if simulator is None else sum(simulator.dataset.counts.values())
        self.display.note(f"{contender.name}: {usage.wall:.1f} s, {usage.cpu:.1f} s of CPU")
        return Sample(
            wall=usage.wall,
            cpu=usage.cpu,
            peak_rss_mib=usage.peak_rss / _MIB,
            records_per_cpu_second=rows / usage.cpu,
            requests=0 if simulator is None else len(simulator.requests),
            exports_at_once=0 if simulator is None else simulator.peak_active,
            service_cpu=service_cpu,
        )


@dataclass(frozen=True)
class Entry:
    """A contender's part in a benchmark.

    Attributes:
        contender: The contender.
        runs: How many runs it has.
    """

    contender: Contender
    runs: int


def interleave(
    entries: Sequence[Entry], sample: Callable[[Contender], Sample], rows: int
) -> list[Series]:
    """Run contenders in turn, so that a busy minute of the machine hits all of them.

    Args:
        entries: The contenders.
        sample: Runs one once.
        rows: Rows that each run reads.
    """
    samples: list[list[Sample]] = [[] for _ in entries]
    for turn in range(max(entry.runs for entry in entries)):
        for entry, done in zip(entries, samples, strict=True):
            if turn < entry.runs:
                done.append(sample(entry.contender))
    return [
        Series(entry.contender.name, rows, tuple(done))
        for entry, done in zip(entries, samples, strict=True)
    ]
