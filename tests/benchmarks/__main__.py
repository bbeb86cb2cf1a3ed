"""Measures the tap's speed and memory, compared with a plain SDK tap or another checkout."""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks import scenarios
from tests.benchmarks.measurement import Bench
from tests.support.pipeline import PROJECT

if TYPE_CHECKING:
    from tests.benchmarks.measurement import Series
    from tests.benchmarks.scenarios import Report

SCENARIOS: Final = ("throughput", "waiting", "memory", "load", "startup")
FIGURES: Final = {
    "wall": ("wall s", ".2f"),
    "cpu": ("CPU s", ".2f"),
    "speed": ("records / CPU s", ",.0f"),
    "peak": ("peak RSS MiB", ".0f"),
}
"""Title and format of each figure."""


def checkout(text: str) -> Path:
    """Parse the path of a checkout; in any other folder, Python would import an installed tap."""
    folder = Path(text).resolve()
    if not (folder / "tap_campusgroups").is_dir():
        message = f"{folder} does not contain tap_campusgroups"
        raise argparse.ArgumentTypeError(message)
    return folder


def create_parser() -> argparse.ArgumentParser:
    """Create the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = (*SCENARIOS, "profile")
    parser.add_argument("scenario", nargs="?", choices=names, help="default: all except profile")
    parser.add_argument("--runs", type=int, help="runs of each candidate")
    parser.add_argument("--rows-scale", type=float, default=1, help="factor for the number of rows")
    parser.add_argument("--tap", type=checkout, default=PROJECT, help="checkout with the tap")
    against = "another checkout with its own .build/venv, for throughput, memory and startup"
    parser.add_argument("--against", type=checkout, help=against)
    parser.add_argument("--json", type=Path, help="file for the figures of all runs")
    return parser


def create_table(name: str, report: Report) -> Table:
    """Create the table of a scenario."""
    caption = f"{report.caption} Median, minimum-maximum, multiple of the one compared with."
    table = Table(title=f"\n{name}", caption=caption, box=box.SIMPLE_HEAD)
    for title in ("", "rows", "runs", *(title for title, _ in FIGURES.values())):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for one in report.series:
        cells = [format_figure(one, figure, report.baselines.get(one)) for figure in FIGURES]
        table.add_row(one.name, f"{one.rows:,}", str(len(one.samples)), *cells)
    return table


def format_figure(series: Series, figure: str, baseline: Series | None) -> str:
    """Return a median; below it, the minimum and the maximum, and the multiple of a baseline."""
    form, values = FIGURES[figure][1], series.values(figure)
    median = statistics.median(values)
    lines = [format(median, form)]
    if len(values) > 1:
        lines.append(f"{min(values):{form}}-{max(values):{form}}")
    if median and baseline and baseline is not series:
        lines.append(f"x {median / statistics.median(baseline.values(figure)):.2f}")
    return "\n".join(lines)


def main() -> int:
    """Run the benchmarks and return the exit code, which does not depend on the figures."""
    options = create_parser().parse_args()
    console = Console(highlight=False, width=110)
    figures: dict[str, object] = {"python": platform.python_version()}
    with tempfile.TemporaryDirectory(prefix="tap-campusgroups-bench-") as home:
        bench = Bench(Path(home), options.tap, options.against, options.rows_scale, options.runs)
        if options.scenario == "profile":
            console.print(scenarios.profile(bench), markup=False, soft_wrap=True)
        for name in SCENARIOS:
            if options.scenario in {None, name}:
                report = getattr(scenarios, name)(bench)
                console.print(create_table(name, report))
                figures[name] = [asdict(series) for series in report.series]
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
