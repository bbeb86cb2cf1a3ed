"""What the benchmarks show, on a terminal or in a file."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.benchmarks.results import Figure, Memory, Series, Startup, Throughput, Waiting
    from tests.benchmarks.targets import Target

_TAIL: Final = 25
_WIDTH: Final = 96


@dataclass(frozen=True)
class _Column:
    """A column: its title, and the text of a contender's cell."""

    title: str
    cell: Callable[[Series], str]


def _figure(title: str, figure: Figure, digits: int = 0) -> _Column:
    """Make a column of medians, each over its least and greatest."""

    def cell(series: Series) -> str:
        least, most = series.extent(figure)
        median = f"{series.median(figure):,.{digits}f}"
        if len(series.samples) == 1 or least == most:
            return median
        return f"{median}\n[dim]{least:,.{digits}f}–{most:,.{digits}f}[/dim]"  # noqa: RUF001

    return _Column(title, cell)


_WALL: Final = _figure("wall s", "wall", 1)
_CPU: Final = _figure("CPU s", "cpu", 1)
_SPEED: Final = _figure("records\n/ CPU s", "records_per_cpu_second")
_PEAK: Final = _figure("peak RSS\nMiB", "peak_rss_mib")
_REQUESTS: Final = _figure("requests", "requests")
_AT_ONCE: Final = _figure("exports\nat once", "exports_at_once")


def _runs(series: Iterable[Series]) -> str:
    """Say how many runs there were of those that had most."""
    most = max(len(one.samples) for one in series)
    return "One run each" if most == 1 else f"Medians of {most} runs, least–most"  # noqa: RUF001


class Display:
    """Writes tables to stdout, and to stderr how far it is."""

    def __init__(self) -> None:
        """Find out what stdout is."""
        self._console = Console(highlight=False, width=_WIDTH)
        self._errors = Console(highlight=False, stderr=True)

    def note(self, text: str) -> None:
        """Say what is done now."""
        self._errors.print(f"  {text}", markup=False, style="dim")

    def say(self, text: str) -> None:
        """Write a text as it is."""
        self._console.print(text, markup=False, soft_wrap=True)

    def fail(self, text: str, log: str = "") -> None:
        """Say what went wrong, with the end of a log."""
        for line in deque(log.splitlines(), _TAIL):
            self._errors.print(line, markup=False, style="dim", soft_wrap=True)
        self._errors.print(text, markup=False, style="bold red")

    def throughput(self, found: Throughput) -> None:
        """Show the benchmark of this name."""
        series = (found.tap, found.plain)
        speed = found.plain.median("records_per_cpu_second")

        def times(records_per_cpu_second: float) -> str:
            return f"{records_per_cpu_second / speed:.2f}"

        ratio = _Column("times\nplain", lambda one: times(one.median("records_per_cpu_second")))
        table = _table(
            "throughput",
            f"{found.tap.rows:,} rows of all streams; no latency. {_runs(series)}. The floors have "
            "neither HTTP nor schema",
            series,
            (_WALL, _CPU, _SPEED, _PEAK, _REQUESTS, _AT_ONCE, ratio),
        )
        for floor in found.floors:
            cells = (f"{floor.records_per_cpu_second:,.0f}", *[""] * 3)
            table.add_row(
                f"floor: {floor.name}", "", "", *cells, times(floor.records_per_cpu_second)
            )
        self._console.print(table)

    def waiting(self, found: Waiting) -> None:
        """Show the benchmark of this name."""
        in_turn = found.taps.get(1)
        side_by_side = [one for one in found.taps.values() if one is not in_turn]
        sequential = [found.plain] if in_turn is None else [in_turn, found.plain]
        runs = [_runs(sequential)]
        if side_by_side and _runs(side_by_side) not in runs:
            runs = [_runs(side_by_side), f"One by one: {runs[0].lower()}"]
        columns = [
            _WALL,
            _Column("times\nideal", lambda one: f"{one.median('wall') / found.ideal:.2f}"),
            _sooner("sooner\nthan pl.", found.plain),
            *([_sooner("sooner\nthan 1", in_turn)] if in_turn is not None else []),
            _CPU,
            _PEAK,
            _REQUESTS,
            _AT_ONCE,
        ]
        caption = (
            f"{found.plain.rows:,} rows of all streams; {found.export_seconds:g} s an export, "
            f"{found.page_seconds * 1000:.0f} ms a page. Ideal: {found.export_seconds:g} s + "
            f"{found.longest_pages} pages x {found.page_seconds:g} s = {found.ideal:.1f} s. "
            f"{'. '.join(runs)}"
        )
        series = (*found.taps.values(), found.plain)
        self._console.print(_table("waiting", caption, series, columns))

    def memory(self, found: Memory) -> None:
        """Show the benchmark of this name."""
        series = (*found.few.values(), *found.many.values())

        def growth(one: Series) -> str:
            few = found.few[one.name]
            if one is few:
                return ""
            return f"{one.median('peak_rss_mib') / few.median('peak_rss_mib'):.2f}"

        columns = (
            _Column("rows", lambda one: f"{one.rows:,}"),
            _PEAK,
            _Column("times\nfewer rows", growth),
            _WALL,
            _CPU,
        )
        caption = f"Rows as in throughput, fewer and ten times more. {_runs(series)}; plain: one"
        self._console.print(_table("memory", caption, series, columns))

    def startup(self, found: Startup) -> None:
        """Show the benchmark of this name."""
        series = (found.tap, found.bare)
        columns = [
            _figure("wall s", "wall", 3),
            _times("wall", found.bare),
            _figure("CPU s", "cpu", 3),
            _times("cpu", found.bare),
            _PEAK,
        ]
        caption = f"--discover. {_runs(series)}; a first run is not counted"
        self._console.print(_table("start-up", caption, series, columns))

    def targets(self, targets: Sequence[Target]) -> None:
        """Show what was reached."""
        table = Table(title="\ntargets", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        table.add_column("figure")
        for title in ("reached", "target"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("met")
        for target in targets:
            sign = "≥" if target.at_least else "≤"
            table.add_row(
                target.what,
                f"{target.reached:.2f}",
                f"{sign} {target.bound:g}",
                "yes" if target.met else "[bold]no[/bold]",
            )
        self._console.print(table)


def _sooner(title: str, than: Series) -> _Column:
    return _Column(title, lambda one: f"{than.median('wall') / one.median('wall'):.2f}")


def _times(figure: Figure, of: Series) -> _Column:
    return _Column("times\nbare", lambda one: f"{one.median(figure) / of.median(figure):.2f}")


def _table(title: str, caption: str, series: Iterable[Series], columns: Sequence[_Column]) -> Table:
    table = Table(
        title=f"\n{title}",
        caption=f"{caption}.",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    for one in series:
        table.add_row(one.name, *(column.cell(one) for column in columns))
    return table
