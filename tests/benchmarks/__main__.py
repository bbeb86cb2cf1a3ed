"""Runs the benchmarks: `python -m benchmarks`, or `make bench`; one of them, `... throughput`.

On a POSIX system. The exit code is 0 whatever the figures are: a benchmark is no test.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tests.benchmarks import parts
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import Contenders
from tests.benchmarks.display import Display
from tests.benchmarks.processes import ContenderError
from tests.benchmarks.results import Results
from tests.benchmarks.targets import targets
from tests.support.pipeline import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence


def numbers(text: str) -> list[int]:
    """Read `1,4,23`."""
    try:
        read = [int(part) for part in text.split(",")]
    except ValueError:
        read = []
    if not read or min(read) < 1:
        message = f"not a list of positive numbers: {text!r}"
        raise argparse.ArgumentTypeError(message)
    return read


def positive(text: str) -> float:
    """Read a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        message = f"not a number above 0: {text!r}"
        raise argparse.ArgumentTypeError(message)
    return number


def runs(text: str) -> int:
    """Read a whole number above 0."""
    (number,) = numbers(text)
    return number


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument(
        "part",
        nargs="?",
        choices=("throughput", "waiting", "memory", "startup", "profile"),
        help="only this one (default: all but the profile)",
    )
    made.add_argument("--runs", type=runs, help="runs of each contender (default: see the tables)")
    made.add_argument("--rows-scale", type=positive, default=1.0, help="factor on all rows")
    made.add_argument(
        "--caps", type=numbers, default=[1, 4, 23], help="exports at once in `waiting`"
    )
    made.add_argument(
        "--tap", type=Path, default=PROJECT, help="a checkout to take the tap from (default: this)"
    )
    made.add_argument("--json", type=Path, help="file to write all figures to")
    return made


def measure(bench: Bench, part: str | None, caps: Sequence[int]) -> Results:
    """Run one part or all of them, and show what was found."""
    results = Results()
    if part in {None, "throughput"}:
        results.throughput = parts.throughput(bench)
        bench.display.throughput(results.throughput)
    if part in {None, "waiting"}:
        results.waiting = parts.waiting(bench, caps)
        bench.display.waiting(results.waiting)
    if part in {None, "memory"}:
        results.memory = parts.memory(bench)
        bench.display.memory(results.memory)
    if part in {None, "startup"}:
        results.startup = parts.startup(bench)
        bench.display.startup(results.startup)
    return results


def figures(results: Results, scale: float) -> dict[str, Any]:
    """Make what `--json` writes."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "rows_scale": scale,
        **asdict(results),
        "targets": [{**asdict(target), "met": target.met} for target in targets(results)],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; return the exit code."""
    # As on Ctrl-C, nothing is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = parser().parse_args(arguments)
    display = Display()
    try:
        with tempfile.TemporaryDirectory(prefix="tap-campusgroups-bench-") as home:
            bench = Bench(
                Contenders(options.tap.resolve()),
                display,
                Path(home),
                scale=options.rows_scale,
                runs=options.runs,
            )
            if options.part == "profile":
                display.say(parts.profile(bench))
                return 0
            results = measure(bench, options.part, options.caps)
    except ContenderError as error:
        display.fail(str(error), error.log)
        return 1
    except KeyboardInterrupt:
        display.fail("Stopped.")
        return 128 + signal.SIGINT
    if found := targets(results):
        display.targets(found)
        if options.rows_scale != 1:
            display.say("The targets are for all rows: --rows-scale 1.")
    if options.json is not None:
        encoded = msgspec.json.encode(figures(results, options.rows_scale))
        options.json.write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
