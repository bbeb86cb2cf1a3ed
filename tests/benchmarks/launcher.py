"""Runs a command and writes the resources that it used to a file descriptor, as JSON.

    python -I -S launcher.py DESCRIPTOR EXECUTABLE ARGUMENT ...

This is a small separate program because Linux counts the memory of the parent process in the
child's peak memory, and the benchmark process holds up to a million rows.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Run the command."""
    descriptor, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keyword
    started = time.monotonic()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    wall = time.monotonic() - started
    unit = 1 if sys.platform == "darwin" else 1024
    report = {
        "code": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_rss": usage.ru_maxrss * unit,
    }
    os.write(descriptor, json.dumps(report).encode())


if __name__ == "__main__":
    main()
