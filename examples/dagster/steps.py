"""A step: `meltano run` for one group of streams of one school, isolated from the others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples.dagster.plan import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from examples.dagster.plan import Plan, School

_ERROR: Final = re.compile(r"\[(?:error|critical) *\] (?P<logger>\S+) +(?P<text>.*)")
_TERMINATION_SECONDS: Final = 20.0


class StepFailedError(Exception):
    """A group failed; the message is the last error in the log."""


def environment(plan: Plan, school: School, group: str) -> dict[str, str]:
    """Return the environment of a step's process; it holds only its own school's secret.

    Raises:
        StepFailedError: If the variable of the secret is not set.
    """
    secrets = {other.api_secret_variable for other in plan.schools}
    environment = {name: value for name, value in os.environ.items() if name not in secrets}
    secret = os.environ.get(school.api_secret_variable)
    if not secret:
        message = f"{school.api_secret_variable} is not set"
        raise StepFailedError(message)
    # meltano.yml sets a value for each group, which takes precedence over
    # TAP_CAMPUSGROUPS_MAX_CONCURRENT_EXPORTS: override the group's own variable.
    exports = f"TAP_CAMPUSGROUPS__{group.upper().replace('-', '_')}_MAX_CONCURRENT_EXPORTS"
    environment |= {
        "TAP_CAMPUSGROUPS_API_SECRET": secret,
        "TAP_CAMPUSGROUPS_SCHOOL_CODE": school.code,
        exports: str(plan.exports_per_worker(school)),
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": school.schema,
        "MELTANO_SYS_DIR_ROOT": str(_system_folder(school, group)),
    }
    if school.api_url is not None:
        environment["TAP_CAMPUSGROUPS_API_URL"] = school.api_url
    return environment


def run(plan: Plan, school: School, group: str) -> None:
    """Run a group of streams of a school; Meltano's log goes to stdout.

    Raises:
        StepFailedError: If the run fails.
    """
    command: list[str | Path] = [
        Path(sys.executable).with_name("meltano"),
        "--log-format=uncolored",
        *("run", "--no-install", f"--state-id-suffix={school.code}", group),
    ]
    # A new session: Meltano, tap and loader can be terminated together.
    with subprocess.Popen(  # noqa: S603 - the names come from the plan
        command,
        cwd=PROJECT,
        env=environment(plan, school, group),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            reason = _forward(process.stdout or ())
            code = process.wait()
        except BaseException:
            _terminate(process)
            raise
    if code != 0:
        message = reason or f"meltano ended with exit code {code}"
        raise StepFailedError(message)


def _system_folder(school: School, group: str) -> Path:
    """Return a system folder for one step, with links to the installed plugins.

    Meltano keeps catalog and state of a run in files named after the plugin: two concurrent runs
    of one plugin in one folder would read each other's files.
    """
    root = Path(os.environ.get("MELTANO_SYS_DIR_ROOT") or PROJECT / ".meltano")
    folder = root / "steps" / school.code / group
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("extractors", "loaders"):
        link = folder / kind
        if not link.is_symlink():
            link.symlink_to((root / kind).resolve(), target_is_directory=True)
    return folder


def _forward(lines: Iterable[str]) -> str | None:
    """Forward a log to stdout and return its last error, preferably one of the tap."""
    errors: dict[bool, str] = {}
    for line in lines:
        sys.stdout.write(line)
        sys.stdout.flush()
        if found := _ERROR.search(line):
            errors[found["logger"].startswith("tap-")] = found["text"]
    return errors.get(True) or errors.get(False)


def _terminate(process: subprocess.Popen[str]) -> None:
    """Terminate a process and its children and wait for it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TERMINATION_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
