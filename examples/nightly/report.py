"""Print what a mail or a monitoring system needs from the report that run.py has the tap write.

Without an option, it prints why streams failed and which deleted rows stay in the target: nothing
after most runs. With `--metrics`, it prints the figures in Prometheus' text format, which the
textfile collector of node_exporter reads. Usage, in the project's folder:

    .venv/bin/python examples/nightly/report.py [--metrics]

The report contains no personal data.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RUN: Final = {
    "exit_code": "Exit code of the tap; -1 while it runs, or after it was killed.",
    "start_timestamp_seconds": "Start of the run.",
    "duration_seconds": "Duration of the run so far.",
}
_STREAM: Final = {
    "rows": "Rows received, including repeated ones.",
    "exports": "Exports that the service accepted.",
    "windows": "Planned windows.",
    "windows_done": "Completed windows.",
    "resubmissions": "Exports submitted in place of failed ones.",
    "retries": "Requests sent again.",
    "issues": "Unknown fields, type mismatches, pages with invalid Unicode and skipped rows.",
    "age_hours": "Age of the newest row at the end of the run.",
    "failed": "Whether the stream failed.",
    "deleted_rows_stay": "Whether a full read has not removed deleted rows from the target.",
}


def main(*options: str) -> None:
    """Print the lines that the options ask for."""
    folder = Path(os.environ.get("MELTANO_SYS_DIR_ROOT") or ".meltano")
    try:
        report: dict[str, Any] = json.loads((folder / "run-report.json").read_bytes())
    except (OSError, ValueError):
        sys.stdout.write("The tap wrote no run report: it was not started.\n")
        return
    for line in metrics(report) if "--metrics" in options else problems(report):
        sys.stdout.write(f"{line}\n")


def problems(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each problem of a run."""
    errors = [one["error"] for one in report["streams"] if one["error"]]
    if report["status"] == "running":
        yield "The tap has written no result: it was killed, or another run is active."
    elif report["error"] and report["error"] not in errors:
        yield report["error"]
    yield from errors
    for one in report["streams"]:
        if reason := one["deleted_rows_stay"]:
            yield f"Stream '{one['stream']}': deleted rows stay in the target, because {reason}"


def metrics(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of Prometheus' text format."""
    code = report["exit_code"]
    run = {
        "exit_code": -1 if code is None else code,
        "start_timestamp_seconds": datetime.fromisoformat(report["started"]).timestamp(),
        "duration_seconds": report["seconds"],
    }
    for name, text in _RUN.items():
        yield from _head(f"campusgroups_run_{name}", text)
        yield f"campusgroups_run_{name} {run[name]}"
    for name, text in _STREAM.items() if report["streams"] else ():
        yield from _head(f"campusgroups_stream_{name}", text)
        for one in report["streams"]:
            figures = {**one, "failed": one["error"]}
            value = figures[name]
            if name in {"failed", "deleted_rows_stay"}:
                value = int(value is not None)
            if value is not None:
                yield f'campusgroups_stream_{name}{{stream="{one["stream"]}"}} {value}'


def _head(name: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} gauge"


if __name__ == "__main__":
    main(*sys.argv[1:])
