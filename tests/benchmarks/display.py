"""Shows progress, tables and errors."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.candidates import MINIMAL_TAP, PLAIN_TAP
from tests.benchmarks.warehouse import VALIDATING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from typing import TypeAlias

    from tests.benchmarks.results import Figure, Memory, Series, Throughput, Waiting
    from tests.benchmarks.thresholds import Threshold

    _Column: TypeAlias = tuple[str, Callable[[Series], str]]
    """A column's title, and a function that returns its cell for a candidate."""

_LOG_LINES: Final = 25
_WIDTH: Final = 100


def _median(title: str, figure: Figure, digits: int = 0) -> _Column:
    """Return a column of medians, each with its minimum and maximum below."""

    def cell(series: Series) -> str:
        least, most = series.range(figure)
        median = f"{series.medians[figure]:,.{digits}f}"
        if least == most:
            return median
        return f"{median}\n[dim]{least:,.{digits}f}–{most:,.{digits}f}[/dim]"  # noqa: RUF001

    return title, cell


_WALL: Final = _median("wall s", "wall", 1)
_CPU: Final = _median("CPU s", "cpu", 1)
_SPEED: Final = _median("records\n/ CPU s", "records_per_cpu_second")
_PEAK: Final = _median("peak RSS\nMiB", "peak_rss_mib")
_REQUESTS: Final = _median("requests", "requests")
_ACTIVE: Final = _median("active\nexports", "peak_active_exports")


def _runs(series: Iterable[Series]) -> str:
    """Describe the largest number of runs of a candidate."""
    runs = max(len(one.samples) for one in series)
    return "One run each" if runs == 1 else f"Median of {runs} runs, minimum–maximum"  # noqa: RUF001


class Display:
    """Writes tables to stdout, and progress and errors to stderr."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, width=_WIDTH)
        self._errors = Console(highlight=False, stderr=True)

    def progress(self, text: str) -> None:
        """Show what is running."""
        self._errors.print(f"  {text}", markup=False, style="dim")

    def text(self, text: str) -> None:
        """Show a text."""
        self._console.print(text, markup=False, soft_wrap=True)

    def error(self, text: str, log: str = "") -> None:
        """Show an error, after the last lines of a log."""
        for line in deque(log.splitlines(), _LOG_LINES):
            self._errors.print(line, markup=False, style="dim", soft_wrap=True)
        self._errors.print(text, markup=False, style="bold red")

    def throughput(self, found: Throughput) -> None:
        """Show the results of `throughput`."""
        series, plain = found.series.values(), found.series[PLAIN_TAP.name]
        speed = plain.medians["records_per_cpu_second"]
        columns = (
            *(_WALL, _CPU, _SPEED, _PEAK, _REQUESTS, _ACTIVE),
            _ratio("ratio\nto plain", "records_per_cpu_second", plain),
        )
        caption = (
            f"{plain.rows:,} rows of all streams, no latency. {_runs(series)}. "
            "Lower bounds: JSON conversion only"
        )
        table = _table("throughput", caption, series, columns)
        for name, bound in found.lower_bounds.items():
            cells = ["", "", f"{bound:,.0f}", "", "", "", f"{bound / speed:.2f}"]
            table.add_row(f"lower bound: {name}", *cells)
        self._console.print(table)

    def waiting(self, found: Waiting) -> None:
        """Show the results of `waiting`."""
        sequential = found.taps.get(1)
        columns = [
            _WALL,
            ("ratio\nto ideal", lambda one: f"{one.medians['wall'] / found.ideal:.2f}"),
            _speedup("speedup\nto plain", found.plain),
            *([] if sequential is None else [_speedup("speedup\nto 1", sequential)]),
            *(_CPU, _PEAK, _REQUESTS, _ACTIVE),
        ]
        series = (*found.taps.values(), found.plain)
        caption = (
            f"{found.plain.rows:,} rows of all streams, {found.export_seconds:g} s per export, "
            f"{found.page_seconds * 1000:.0f} ms per page. Ideal: {found.export_seconds:g} s + "
            f"{found.longest_pages} pages x {found.page_seconds:g} s = {found.ideal:.1f} s. "
            f"{_runs(series)}"
        )
        if len({len(one.samples) for one in series}) > 1:
            caption += "; sequential exports: one run"
        self._console.print(_table("waiting", caption, series, columns))

    def memory(self, found: Memory) -> None:
        """Show the results of `memory`."""
        series = (*found.few.values(), *found.many.values())

        def growth(one: Series) -> str:
            few = found.few[one.name]
            return "" if one is few else f"{one.ratio('peak_rss_mib', few):.2f}"

        columns = (
            ("rows", lambda one: f"{one.rows:,}"),
            *(_PEAK, ("growth", growth), _WALL, _CPU),
        )
        caption = f"All streams, no latency. {_runs(series)}; plain tap: one run"
        self._console.print(_table("memory", caption, series, columns))

    def load(self, found: dict[str, Series]) -> None:
        """Show the results of `load`."""
        validating = found[VALIDATING]
        columns = (
            _WALL,
            ("rows / s", lambda one: f"{one.rows / one.medians['wall']:,.0f}"),
            _speedup("speedup", validating),
            _CPU,
            ("speedup\nby CPU", lambda one: f"{validating.ratio('cpu', one):.2f}"),
            _PEAK,
        )
        caption = (
            f"{validating.rows:,} rows of all streams, tap and target-postgres into PostgreSQL, no "
            f"latency. {_runs(found.values())}. Both loaded every value exactly"
        )
        self._console.print(_table("load", caption, found.values(), columns))

    def startup(self, found: dict[str, Series]) -> None:
        """Show the results of `startup`."""
        minimal = found[MINIMAL_TAP.name]
        columns = (
            _median("wall s", "wall", 3),
            _ratio("ratio to\nminimal", "wall", minimal),
            _median("CPU s", "cpu", 3),
            _ratio("ratio to\nminimal", "cpu", minimal),
            _PEAK,
        )
        caption = f"--discover. {_runs(found.values())}"
        self._console.print(_table("start-up", caption, found.values(), columns))

    def thresholds(self, thresholds: Iterable[Threshold]) -> None:
        """Show which thresholds are met."""
        table = Table(
            title="\nthresholds", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False
        )
        table.add_column("figure")
        for title in ("measured", "threshold"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("met")
        for threshold in thresholds:
            table.add_row(
                threshold.figure,
                f"{threshold.measured:.2f}",
                f"{'≥' if threshold.is_minimum else '≤'} {threshold.limit:g}",
                "yes" if threshold.is_met else "[bold]no[/bold]",
            )
        self._console.print(table)


def _ratio(title: str, figure: Figure, baseline: Series) -> _Column:
    return title, lambda one: f"{one.ratio(figure, baseline):.2f}"


def _speedup(title: str, baseline: Series) -> _Column:
    return title, lambda one: f"{baseline.ratio('wall', one):.2f}"


def _table(
    title: str, caption: str, series: Collection[Series], columns: Sequence[_Column]
) -> Table:
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
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in series:
        table.add_row(one.name, *(cell(one) for _, cell in columns))
    return table
