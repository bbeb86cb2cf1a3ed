"""Run the simulator until Ctrl-C: `python -m tests.simulator --rows 200 --fault events:503`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, get_args

from . import faults
from .dataset import Dataset, tap_schemas
from .differences import DIFFERENCES
from .request_context import Phase
from .simulator import Simulator, utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

FAULTS = (
    "ConnectionReset", "TruncatedBody", "Hang", "HtmlPage", "RandomBytes", "FailQuery",
    "CancelQuery", "EmptyPage", "RepeatToken",
)  # fmt: skip
"""Fault types that need no arguments."""


def rows_argument(text: str) -> int | dict[str, int]:
    """Parse `200` or `events=500,users=900` (rows per stream)."""
    if "=" not in text:
        return int(text)
    pairs = (part.split("=") for part in text.split(","))
    return {stream: int(count) for stream, count in pairs}


def fault_argument(text: str) -> faults.Fault:
    """Parse `STREAM:FAULT[:PHASE[:TIMES]]`, such as `events:503:first_page:3`."""
    stream, name, *rest = text.split(":")
    fault_type = getattr(faults, name)() if name in FAULTS else faults.Status(int(name))
    phase: Phase | None = next((known for known in get_args(Phase) if known in rest[:1]), None)
    if rest and phase is None:
        raise ValueError
    fault: faults.Fault = fault_type.on(stream, phase, times=int(rest[1]) if rest[1:] else 1)
    return fault


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulator",
        description="Simulate the CampusGroups Data Export API on a local port until Ctrl-C.",
    )
    add = parser.add_argument
    add("--rows", type=rows_argument, default=50, help="rows per stream: 200 or events=500,users=9")
    add("--api-version", choices=("1.0", "1.1"), default="1.0", help="1.1 has four more streams")
    add("--running", type=float, default=0, help="seconds that a query runs (default: 0)")
    add("--max-active", type=int, help="active queries at which a submit gets 429")
    add(
        "--fault",
        type=fault_argument,
        action="append",
        default=[],
        metavar="STREAM:FAULT[:PHASE[:TIMES]]",
        help=f"may be repeated; FAULT: an HTTP status, {', '.join(FAULTS)}; "
        f"PHASE: {', '.join(get_args(Phase))}",
    )
    add(
        "--differ",
        action="append",
        default=[],
        choices=sorted(DIFFERENCES),
        metavar="ASSUMPTION",
        help=f"may be repeated; differ from what the tap assumes: {', '.join(DIFFERENCES)}",
    )
    return parser


def welcome(simulator: Simulator, folder: Path) -> str:
    """Write a configuration file for the tap; return the text that the program prints first."""
    config = folder / "config.json"
    settings = {
        "api_url": simulator.url,
        "school_code": simulator.school_code,
        "api_secret": simulator.api_secret,
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    return (
        f"CampusGroups simulator: {sum(simulator.dataset.counts.values()):,} rows."
        " Press Ctrl-C to stop.\n\n"
        f"  URL     {simulator.url}\n"
        f"  school  {simulator.school_code}\n"
        f"  secret  {simulator.api_secret}\n\n"
        "Run the tap against it:\n\n"
        f"  tap-campusgroups --config {config} > output.jsonl\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal and return the exit code."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parser = create_parser()
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        try:
            # The newest row is as old as in the data lake.
            dataset = Dataset(
                options.rows,
                newest=utc_now() - timedelta(days=1),
                schemas=tap_schemas(options.api_version),
            )
            simulator = stack.enter_context(
                Simulator(dataset, running_seconds=options.running, max_active=options.max_active)
            )
            for fault in options.fault:
                simulator.inject(fault)
            for name in options.differ:
                DIFFERENCES[name](simulator)
            dataset.freeze()
        except ValueError as error:
            parser.error(str(error))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="campusgroups-")))
        print(welcome(simulator, folder), flush=True)  # noqa: T201
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
