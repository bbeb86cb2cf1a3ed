"""Serves the simulator until SIGTERM or SIGINT: `python -m tests.simulator --rows 200`.

The API secret is taken from the environment variable SIMULATOR_SECRET.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from .dataset import Dataset, tap_schemas
from .service import DEFAULT_SCHOOL, DEFAULT_SECRET
from .simulator import Simulator, utc_now
from .timestamps import parse_bound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def rows_argument(text: str) -> int | dict[str, int]:
    """Read `200` or `events=500,users=900` (rows per stream)."""
    try:
        if "=" not in text:
            return int(text)
        pairs = (part.partition("=") for part in text.split(","))
        return {stream.strip(): int(count) for stream, _, count in pairs}
    except ValueError:
        message = f"not a number of rows: {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def newest_argument(text: str) -> datetime:
    """Read the instant of the newest row, a date or a date-time with its zone."""
    instant = parse_bound(text)
    if instant is None:
        message = f"not a date: {text!r}"
        raise argparse.ArgumentTypeError(message)
    return instant


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=int, default=0, help="0: a free one (default)")
    made.add_argument(
        "--rows", type=rows_argument, default=50, help="rows per stream: N, or stream=N,stream=N"
    )
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--newest", type=newest_argument, help="updatedOn of row 1 (default: now)")
    made.add_argument("--queued", type=float, default=0.0, help="seconds a query stays queued")
    made.add_argument("--running", type=float, default=0.0, help="seconds a query then runs")
    made.add_argument("--page-seconds", type=float, default=0.0, help="seconds before each page")
    made.add_argument("--max-active", type=int, help="unfinished queries before a 429")
    made.add_argument("--school", default=DEFAULT_SCHOOL, help="school code to accept")
    made.add_argument("--api-version", default="1.0", help="1.1 has four more streams")
    made.add_argument("--preload", action="store_true", help="make all rows before serving")
    made.add_argument("--url-file", type=Path, help="file to write the URL to")
    return made


def main(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> int:
    """Serve until a signal; return the exit code."""
    stop = Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    made = parser()
    options = made.parse_args(arguments)
    newest = (options.newest or utc_now()).astimezone(UTC)
    try:
        dataset = Dataset(
            options.rows, seed=options.seed, newest=newest, schemas=tap_schemas(options.api_version)
        )
    except ValueError as error:
        made.error(str(error))
    # Nobody can reach the rows from outside this process.
    dataset.freeze()
    if options.preload:
        dataset.preload()
    with Simulator(
        dataset,
        api_secret=environment.get("SIMULATOR_SECRET") or DEFAULT_SECRET,
        school_code=options.school,
        host=options.host,
        port=options.port,
        queued_seconds=options.queued,
        running_seconds=options.running,
        page_seconds=options.page_seconds,
        max_active=options.max_active,
    ) as simulator:
        print(simulator.url, flush=True)  # noqa: T201 - the command's output
        if options.url_file is not None:
            # Renamed into place, so that a reader never sees half of it.
            part = options.url_file.with_name(f"{options.url_file.name}.part")
            part.write_text(f"{simulator.url}\n", encoding="utf-8")
            part.replace(options.url_file)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
