"""Measures the tap's speed and memory, compared with a plain SDK tap.

Needs a POSIX system. The exit code does not depend on the figures.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.benchmarks import scenarios
from tests.benchmarks.display import Display
from tests.benchmarks.processes import CandidateError
from tests.benchmarks.results import Results
from tests.benchmarks.runner import Runner
from tests.benchmarks.thresholds import thresholds
from tests.benchmarks.warehouse import LOADER
from tests.support.pipeline import PROJECT, missing_plugins

if TYPE_CHECKING:
    from collections.abc import Sequence


def positive_integer(text: str) -> int:
    """Parse an integer of at least 1."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def positive_integers(text: str) -> list[int]:
    """Parse a list such as `1,4,23`."""
    return [positive_integer(part) for part in text.split(",")]


def positive_number(text: str) -> float:
    """Parse a finite number greater than 0."""
    if not 0 < (number := float(text)) < math.inf:
        raise ValueError
    return number


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
    parser.add_argument(
        "scenario",
        nargs="?",
        choices=("throughput", "waiting", "memory", "load", "startup", "profile"),
        help="scenario to run (default: all except profile)",
    )
    parser.add_argument(
        "--runs",
        type=positive_integer,
        help="runs per candidate (default: depends on the scenario)",
    )
    parser.add_argument(
        "--rows-scale", type=positive_number, default=1.0, help="factor for the number of rows"
    )
    parser.add_argument(
        "--caps",
        type=positive_integers,
        default=[1, 4, 23],
        help="values of max_concurrent_exports in the waiting scenario (default: 1,4,23)",
    )
    parser.add_argument(
        "--tap", type=checkout, default=PROJECT, help="checkout with the tap (default: this one)"
    )
    parser.add_argument(
        "--against",
        type=checkout,
        help="another checkout with its own .venv, whose tap throughput also measures",
    )
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser


def measure(runner: Runner, scenario: str | None, concurrency: Sequence[int]) -> Results:
    """Run one scenario, or all of them, and show the results."""
    results = Results()
    if scenario in {None, "throughput"}:
        results.throughput = scenarios.throughput(runner)
        runner.display.throughput(results.throughput)
    if scenario in {None, "waiting"}:
        results.waiting = scenarios.waiting(runner, concurrency)
        runner.display.waiting(results.waiting)
    if scenario in {None, "memory"}:
        results.memory = scenarios.memory(runner)
        runner.display.memory(results.memory)
    if scenario in {None, "load"}:
        results.load = scenarios.load(runner)
        runner.display.load(results.load)
    if scenario in {None, "startup"}:
        results.startup = scenarios.startup(runner)
        runner.display.startup(results.startup)
    return results


def write_json(file: Path, results: Results, scale: float) -> None:
    """Write all figures to a file."""
    figures = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "rows_scale": scale,
        **asdict(results),
        "thresholds": [{**asdict(one), "is_met": one.is_met} for one in thresholds(results)],
    }
    file.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks and return the exit code."""
    # SystemExit ends the candidates and removes the temporary folder, like Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = create_parser()
    options = parser.parse_args(arguments)
    if options.against is not None and not (options.against / ".venv").is_dir():
        parser.error(f"{options.against} has no .venv")
    if options.scenario in {None, "load"} and LOADER in missing_plugins():
        parser.error(f"{LOADER} is not installed; `make bench` installs it")
    display = Display()
    try:
        with tempfile.TemporaryDirectory(prefix="tap-campusgroups-bench-") as home:
            runner = Runner(
                display,
                Path(home),
                tap_folder=options.tap,
                against=options.against,
                scale=options.rows_scale,
                runs=options.runs,
            )
            if options.scenario == "profile":
                display.text(scenarios.profile(runner))
                return 0
            results = measure(runner, options.scenario, options.caps)
    except CandidateError as error:
        display.error(str(error), error.log)
        return 1
    except KeyboardInterrupt:
        display.error("Interrupted.")
        return 128 + signal.SIGINT
    if found := list(thresholds(results)):
        display.thresholds(found)
        if options.rows_scale != 1:
            display.text("The thresholds apply to the full number of rows: --rows-scale 1.")
    if options.json is not None:
        write_json(options.json, results, options.rows_scale)
    return 0


if __name__ == "__main__":
    sys.exit(main())
