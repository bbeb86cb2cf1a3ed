"""Compares the figures with the project's performance thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.candidates import MINIMAL_TAP, PLAIN_TAP, TAP
from tests.benchmarks.warehouse import PROJECT_SETTINGS, VALIDATING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.results import Results, Waiting


@dataclass(frozen=True)
class Threshold:
    """A figure and its limit.

    Attributes:
        figure: Description of the figure.
        measured: Measured value.
        limit: Minimum or maximum.
        is_minimum: Whether the limit is a minimum.
    """

    figure: str
    measured: float
    limit: float
    is_minimum: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the measured value is within the limit."""
        return self.measured >= self.limit if self.is_minimum else self.measured <= self.limit


def thresholds(results: Results) -> Iterator[Threshold]:
    """Yield the thresholds of all scenarios that ran."""
    if results.throughput is not None:
        tap, plain = (results.throughput.series[name] for name in (TAP, PLAIN_TAP.name))
        ratio = tap.ratio("records_per_cpu_second", plain)
        figure = "throughput: records / CPU s, ratio to plain tap"
        yield Threshold(figure, ratio, 3.0, is_minimum=True)
        yield Threshold(f"{figure}, stretch goal", ratio, 3.5, is_minimum=True)
        yield Threshold("throughput: peak RSS in MiB", tap.medians["peak_rss_mib"], 160.0)
    if results.memory is not None:
        growth = results.memory.many[TAP].ratio("peak_rss_mib", results.memory.few[TAP])
        yield Threshold("memory: growth of peak RSS with ten times the rows", growth, 1.1)
    if results.load is not None:
        validating, ours = (results.load[name] for name in (VALIDATING, PROJECT_SETTINGS))
        figure = "load: speedup of meltano.yml's settings"
        yield Threshold(figure, validating.ratio("wall", ours), 1.8, is_minimum=True)
        # On a busy machine, the CPU time of PostgreSQL adds to both wall times.
        yield Threshold(f"{figure}, CPU time", validating.ratio("cpu", ours), 1.8, is_minimum=True)
    if results.waiting is not None:
        yield from _waiting(results.waiting)
    if results.startup is not None:
        tap, minimal = (results.startup[name] for name in (TAP, MINIMAL_TAP.name))
        yield Threshold(
            "start-up: wall time, ratio to minimal tap", tap.ratio("wall", minimal), 1.3
        )


def _waiting(found: Waiting) -> Iterator[Threshold]:
    taps = found.taps
    if 23 in taps:
        ratio = taps[23].medians["wall"] / found.ideal
        yield Threshold("waiting: wall time with 23 exports, ratio to ideal", ratio, 1.25)
    if 1 in taps and 4 in taps:
        speedup = taps[1].ratio("wall", taps[4])
        yield Threshold("waiting: speedup with 4 exports", speedup, 3.0, is_minimum=True)
    if 1 in taps and len(taps) > 1:
        growth = max(tap.ratio("requests", taps[1]) for tap in taps.values() if tap is not taps[1])
        yield Threshold("waiting: growth of requests with concurrent exports", growth, 1.1)
