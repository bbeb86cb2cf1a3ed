"""Run a Meltano job, and check that the tap emitted everything and the loader confirmed it.

`meltano run` (4.4) exits with 0 if the loader exits early with 0, as loaders of the Singer SDK do
after SIGTERM. Usage, in the project's folder and with the Python of Meltano's environment:

    .venv/bin/python examples/nightly/run.py STATE_ID [options of `meltano run`] JOB

The job may have only one extractor.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

REPORT_VARIABLE: Final = "TAP_CAMPUSGROUPS_RUN_REPORT"
"""Environment variable of the tap's setting `run_report`."""

_MELTANO: Final = str(Path(sys.executable).with_name("meltano"))


def main(state_id: str, *arguments: str) -> int:
    """Run the job and return the exit code, which is 1 if only the check failed."""
    system_folder = Path(os.environ.get("MELTANO_SYS_DIR_ROOT") or ".meltano").resolve()
    report = system_folder / "run-report.json"
    report.unlink(missing_ok=True)
    os.environ[REPORT_VARIABLE] = str(report)
    # The descriptors stay open: a lock that this process holds also lasts as long as Meltano.
    process = subprocess.Popen(  # noqa: S603 - the user's own command line
        [_MELTANO, "--log-format=uncolored", "run", *arguments], close_fds=False
    )
    signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number))
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches Meltano, too
    code = process.wait()
    if code == 0 and (reason := problem(report, state_id)):
        sys.stderr.write(f"Run incomplete: {reason}\n")
        return 1
    return code if code >= 0 else 128 - code


def problem(
    report: Path, state_id: str, *, environment: Mapping[str, str] | None = None
) -> str | None:
    """Return why a run is incomplete although Meltano's exit code is 0.

    The tap says in its report whether it emitted everything. The state that Meltano has stored says
    what the loader confirmed.
    """
    try:
        run: dict[str, Any] = json.loads(report.read_bytes())
    except (OSError, ValueError):
        return f"the tap wrote no report to {report}. Remove run_report from meltano.yml."
    if run["status"] != "complete":
        return "the loader exited before the tap had read everything. Check the log."
    if missing := unconfirmed(run, state_id, environment=environment):
        return (
            f"the state '{state_id}' does not have the last bookmarks of {', '.join(missing)}: the"
            " loader exited early, or Meltano could not store the state. Check the log."
        )
    return None


def unconfirmed(
    run: dict[str, Any], state_id: str, *, environment: Mapping[str, str] | None = None
) -> list[str]:
    """Return the streams of a run report whose last bookmark the loader has not confirmed."""
    stored = subprocess.run(  # noqa: S603 - a fixed command
        [_MELTANO, "--log-level=error", "state", "get", state_id],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    state = json.loads(stored.stdout or "{}").get("singer_state") or {}
    bookmarks = state.get("bookmarks", {})
    return [name for name, one in run["bookmarks"].items() if bookmarks.get(name) != one]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
