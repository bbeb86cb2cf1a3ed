"""What the figures should be, and whether they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.benchmarks.contenders import TAP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.results import Memory, Results, Startup, Throughput, Waiting

_SPEED: Final = 3.0
_STRETCH: Final = 3.5
_PEAK_MIB: Final = 160.0
_GROWTH: Final = 1.1
_OVER_IDEAL: Final = 1.25
_SOONER: Final = 3.0
_STARTUP: Final = 1.3
_MORE_REQUESTS: Final = 1.1

_IN_TURN, _USUAL, _ALL = 1, 4, 23


@dataclass(frozen=True)
class Target:
    """A figure and its bound.

    Attributes:
        what: The figure, in words.
        reached: What was measured.
        bound: What it should be.
        at_least: Whether more is better.
    """

    what: str
    reached: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is within its bound."""
        return self.reached >= self.bound if self.at_least else self.reached <= self.bound


def targets(results: Results) -> list[Target]:
    """Compare what was measured with what should be; nothing is said of what was not."""
    return [
        *(() if results.throughput is None else _throughput(results.throughput)),
        *(() if results.memory is None else _memory(results.memory)),
        *(() if results.waiting is None else _waiting(results.waiting)),
        *(() if results.startup is None else _startup(results.startup)),
    ]


def _throughput(found: Throughput) -> Iterator[Target]:
    tap, plain = (one.median("records_per_cpu_second") for one in (found.tap, found.plain))
    what = "throughput: records per CPU second, times the plain tap's"
    yield Target(what, tap / plain, _SPEED, at_least=True)
    yield Target(f"{what}, stretch", tap / plain, _STRETCH, at_least=True)
    yield Target("throughput: peak RSS, MiB", found.tap.median("peak_rss_mib"), _PEAK_MIB)


def _memory(found: Memory) -> Iterator[Target]:
    few, many = (one[TAP].median("peak_rss_mib") for one in (found.few, found.many))
    yield Target("memory: peak RSS at ten times the rows, times that before", many / few, _GROWTH)


def _waiting(found: Waiting) -> Iterator[Target]:
    taps = found.taps
    if _ALL in taps:
        ratio = taps[_ALL].median("wall") / found.ideal
        yield Target(f"waiting: wall at {_ALL} at once, times the ideal", ratio, _OVER_IDEAL)
    if _IN_TURN not in taps:
        return
    in_turn = taps[_IN_TURN]
    if _USUAL in taps:
        ratio = in_turn.median("wall") / taps[_USUAL].median("wall")
        what = f"waiting: times sooner at {_USUAL} at once than one by one"
        yield Target(what, ratio, _SOONER, at_least=True)
    if requests := [one.median("requests") for cap, one in taps.items() if cap != _IN_TURN]:
        ratio = max(requests) / in_turn.median("requests")
        yield Target("waiting: most requests, times those one by one", ratio, _MORE_REQUESTS)


def _startup(found: Startup) -> Iterator[Target]:
    ratio = found.tap.median("wall") / found.bare.median("wall")
    yield Target("start-up: wall, times the bare tap's", ratio, _STARTUP)
