"""Run the simulator until Ctrl-C: `python -m tests.simulator --rows 200`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from .dataset import Dataset, tap_schemas
from .fault_syntax import SYNTAX_HELP, parse_fault
from .late_rows import LateRows
from .responses import CompleteResponse
from .service import DEFAULT_SCHOOL, DEFAULT_SECRET
from .simulator import Simulator, utc_now
from .timestamps import format_timestamp, parse_bound, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .faults import Fault
    from .responses import Response
    from .service import RecordedRequest, Request

LATENESS = timedelta(hours=30)
"""How far `updatedOn` of late rows lies before the newest row; less than the default lookback."""

_SHOWN_BODY = 200


def rows_argument(text: str) -> int | dict[str, int]:
    """Parse `200` or `events=500,users=900` (rows per stream)."""
    try:
        if "=" not in text:
            return int(text)
        pairs = (part.partition("=") for part in text.split(","))
        return {stream.strip(): int(count) for stream, _, count in pairs}
    except ValueError:
        message = f"{text!r} is not a number of rows"
        raise argparse.ArgumentTypeError(message) from None


def newest_argument(text: str) -> datetime:
    """Parse a date, or a date-time with an offset."""
    timestamp = parse_bound(text)
    if timestamp is None:
        message = f"{text!r} is not a valid date"
        raise argparse.ArgumentTypeError(message)
    return timestamp


def fault_argument(text: str) -> Fault:
    """Parse a fault."""
    try:
        return parse_fault(text)
    except ValueError as error:
        message = f"{error}; see the examples in --help"
        raise argparse.ArgumentTypeError(message) from None


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulator",
        description="Simulate the CampusGroups Data Export API on a local port until Ctrl-C.",
        epilog=SYNTAX_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    rows = parser.add_argument_group("data")
    rows.add_argument(
        "--rows",
        type=rows_argument,
        default=50,
        metavar="N|STREAM=N,...",
        help="rows per stream (default: 50)",
    )
    rows.add_argument(
        "--late",
        type=int,
        default=0,
        metavar="N",
        help="rows per stream that only the export after the first complete one finds",
    )
    rows.add_argument("--seed", type=int, default=0, help="seed of the rows (default: 0)")
    rows.add_argument(
        "--newest",
        type=newest_argument,
        metavar="DATE",
        help="updatedOn of the newest row (default: one day ago, like the data lake)",
    )
    rows.add_argument(
        "--api-version", choices=("1.0", "1.1"), default="1.0", help="1.1 has four more streams"
    )
    service = parser.add_argument_group("service")
    service.add_argument("--port", type=int, default=0, help="port (default: a free one)")
    service.add_argument("--school", default=DEFAULT_SCHOOL, help="accepted school code")
    service.add_argument("--secret", default=DEFAULT_SECRET, help="accepted API secret")
    for name, what in (
        ("queued", "seconds that a query is queued"),
        ("running", "seconds that a query then runs"),
        ("page-seconds", "delay before each page, in seconds"),
    ):
        service.add_argument(
            f"--{name}", type=float, default=0.0, metavar="SECONDS", help=f"{what} (default: 0)"
        )
    service.add_argument(
        "--max-active", type=int, metavar="N", help="active queries at which a submit gets 429"
    )
    add(
        "--fault",
        type=fault_argument,
        action="append",
        default=[],
        dest="faults",
        metavar="FAULT",
        help="inject a fault, see below; may be repeated",
    )
    add("--log-requests", action="store_true", help="print every request and its response")
    return parser


def add_late_rows(simulator: Simulator, number: int) -> None:
    """Give every stream rows that its first complete export misses."""
    dataset = simulator.dataset
    updated = dataset.newest - LATENESS
    for stream in dataset.streams:
        count = len(dataset[stream])
        rows = [
            {
                **dataset.row(stream, count + 1 + place),
                "updatedOn": format_timestamp(to_milliseconds(updated)),
            }
            for place in range(number)
        ]
        simulator.inject(LateRows(dataset, stream, rows, updated).on(stream, times=None))


def log_request(request: Request, recorded: RecordedRequest, response: Response) -> None:
    """Print a request and its response; a long body is shortened in the middle."""
    fault = "" if recorded.fault is None else f"  [{recorded.fault}]"
    body = ""
    if isinstance(response, CompleteResponse):
        body = response.body.decode(errors="replace")
        if len(body) > _SHOWN_BODY:
            half = _SHOWN_BODY // 2
            body = f"{body[:half]} ... {body[-half:]} ({len(response.body):,} bytes)"
    status = "no status line" if recorded.status is None else recorded.status
    print(f"{request.method} {request.target}\n  {status} {body}{fault}", flush=True)  # noqa: T201


def welcome(simulator: Simulator, folder: Path) -> str:
    """Write a configuration file for the tap; return the text that the program prints first."""
    config = folder / "config.json"
    settings = {
        "api_url": simulator.url,
        "school_code": simulator.school_code,
        "api_secret": simulator.api_secret,
    }
    config.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    counts = simulator.dataset.counts.values()
    return (
        f"CampusGroups simulator: {len(counts)} streams, {sum(counts):,} rows."
        " Press Ctrl-C to stop.\n\n"
        f"  URL     {simulator.url}\n"
        f"  school  {simulator.school_code}\n"
        f"  secret  {simulator.api_secret}\n\n"
        "Run the tap against it:\n\n"
        f"  tap-campusgroups --config {config} --test\n"
        f"  tap-campusgroups --config {config} > output.jsonl\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal and return the exit code."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parser = create_parser()
    options = parser.parse_args(arguments)
    newest = (options.newest or utc_now() - timedelta(days=1)).astimezone(UTC)
    with ExitStack() as stack:
        try:
            dataset = Dataset(
                options.rows,
                seed=options.seed,
                newest=newest,
                schemas=tap_schemas(options.api_version),
            )
            simulator = stack.enter_context(
                Simulator(
                    dataset,
                    api_secret=options.secret,
                    school_code=options.school,
                    port=options.port,
                    queued_seconds=options.queued,
                    running_seconds=options.running,
                    page_seconds=options.page_seconds,
                    max_active=options.max_active,
                )
            )
            for fault in options.faults:
                simulator.inject(fault)
        except (ValueError, OSError) as error:
            parser.error(str(error))
        if options.log_requests:
            simulator.log_to(log_request)
        if options.late:
            add_late_rows(simulator, options.late)
        else:
            dataset.freeze()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="campusgroups-")))
        print(welcome(simulator, folder), flush=True)  # noqa: T201
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
