"""Runs the command line in a separate process, and finds processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m tap_campusgroups`, with variables added to the environment."""
    return subprocess.run(
        [sys.executable, "-m", "tap_campusgroups", *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def errors(finished: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the log lines above the level INFO."""
    return [line for line in finished.stderr.splitlines() if " INFO " not in line]


def processes_of(folder: Path) -> list[Path]:
    """Return the folders in /proc of the processes that have a folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append(process)
        except OSError:
            continue  # ended, or of another user
    return found
