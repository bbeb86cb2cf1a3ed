"""Runs candidates repeatedly and collects their figures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks import processes
from tests.benchmarks.results import Sample, Series
from tests.support.pipeline import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.benchmarks.candidates import Candidate
    from tests.benchmarks.checks import Check
    from tests.benchmarks.display import Display
    from tests.simulator import Simulator

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Runner:
    """Options and environment of all benchmarks.

    Attributes:
        display: Shows the progress.
        home: Empty folder that serves as the candidates' home directory.
        tap_folder: Checkout with the tap to measure.
        against: Another checkout, whose tap `throughput` also measures.
        scale: Factor for all numbers of rows.
        runs: Runs per candidate; None for each benchmark's default.
    """

    display: Display
    home: Path
    tap_folder: Path = PROJECT
    against: Path | None = None
    scale: float = 1.0
    runs: int | None = None

    def check(self, candidate: Candidate, check: Check, simulator: Simulator | None = None) -> None:
        """Check a candidate's output in a run that is not measured.

        Raises:
            CandidateError: If the run or the check failed.
        """
        self.display.progress(f"{candidate.name}: checking the output")
        processes.run(candidate, home=self.home, simulator=simulator, check=check)

    def measure(
        self, candidate: Candidate, simulator: Simulator | None = None, check: Check | None = None
    ) -> Sample:
        """Measure one run of a candidate.

        Args:
            candidate: The program to run.
            simulator: The service, if the candidate needs one.
            check: Check of the output, which slows down the run. By default, output is discarded.
        """
        if simulator is not None:
            simulator.reset_log()
        before = time.process_time()
        usage = processes.run(candidate, home=self.home, simulator=simulator, check=check)
        service_cpu = time.process_time() - before
        self.display.progress(f"{candidate.name}: {usage.wall:.1f} s, {usage.cpu:.1f} s of CPU")
        rows = 0 if simulator is None else sum(simulator.dataset.counts.values())
        return Sample(
            wall=usage.wall,
            cpu=usage.cpu,
            peak_rss_mib=usage.peak_rss / _MIB,
            records_per_cpu_second=rows / usage.cpu,
            requests=0 if simulator is None else len(simulator.requests),
            peak_active_exports=0 if simulator is None else simulator.peak_active,
            service_cpu=service_cpu,
        )


def interleave(
    runs: Iterable[tuple[Candidate, int]], measure: Callable[[Candidate], Sample], rows: int
) -> dict[str, Series]:
    """Measure candidates in turn, so that other load on the machine affects all of them.

    Args:
        runs: Each candidate with its number of runs.
        measure: Measures one run.
        rows: Rows that each run reads.

    Returns:
        The series by candidate.
    """
    remaining = list(runs)
    samples: dict[str, list[Sample]] = {candidate.name: [] for candidate, _ in remaining}
    while remaining:
        for candidate, _ in remaining:
            samples[candidate.name].append(measure(candidate))
        remaining = [(candidate, left - 1) for candidate, left in remaining if left > 1]
    return {name: Series(name, rows, tuple(taken)) for name, taken in samples.items()}
