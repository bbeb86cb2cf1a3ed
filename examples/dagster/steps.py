"""One step: `meltano run` for a group of streams of a school, apart from all others."""

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

_ERROR: Final = re.compile(r"\[(?:error|critical) *\] (?P<who>\S+) +(?P<text>.*)")
_SECONDS_TO_END: Final = 20.0


class StepFailedError(Exception):
    """A group did not run to its end; the message is the tap's own last line."""


def environment(plan: Plan, school: School, group: str) -> dict[str, str]:
    """Make the environment of a step's process. It has the secret of its own school only.

    Raises:
        StepFailedError: If the variable that should have the secret is not set.
    """
    secrets = {other.api_secret_variable for other in plan.schools}
    environment = {name: value for name, value in os.environ.items() if name not in secrets}
    secret = os.environ.get(school.api_secret_variable)
    if not secret:
        message = f"{school.api_secret_variable} is not set"
        raise StepFailedError(message)
    # The group's own variable: meltano.yml has a value for the group, which comes before
    # TAP_CAMPUSGROUPS_MAX_CONCURRENT_EXPORTS.
    exports = f"TAP_CAMPUSGROUPS__{group.upper().replace('-', '_')}_MAX_CONCURRENT_EXPORTS"
    environment |= {
        "TAP_CAMPUSGROUPS_API_SECRET": secret,
        "TAP_CAMPUSGROUPS_SCHOOL_CODE": school.code,
        exports: str(plan.exports_of(school)),
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": school.schema,
        "MELTANO_SYS_DIR_ROOT": str(_system_folder(school, group)),
    }
    if school.api_url is not None:
        environment["TAP_CAMPUSGROUPS_API_URL"] = school.api_url
    return environment


def run(plan: Plan, school: School, group: str) -> None:
    """Run a group of streams of a school; what Meltano writes goes to stdout.

    Raises:
        StepFailedError: If it fails.
    """
    command: list[str | Path] = [
        Path(sys.executable).with_name("meltano"),
        "--log-format=uncolored",
        *("run", "--no-install", f"--state-id-suffix={school.code}", group),
    ]
    # A session of its own, so that Meltano, tap and loader can be ended together.
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
            reason = _last_error(process.stdout or ())
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    if code != 0:
        message = reason or f"meltano ended with exit code {code}"
        raise StepFailedError(message)


def _system_folder(school: School, group: str) -> Path:
    """Make a step's own folder for what is in `.meltano` otherwise, but for the plugins.

    Meltano keeps a run's catalog and state in files by the name of the plugin: two runs of one
    plugin at once would read each other's. The first runs would make the same system database, too.
    """
    root = Path(os.environ.get("MELTANO_SYS_DIR_ROOT") or PROJECT / ".meltano")
    folder = root / "steps" / school.code / group
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("extractors", "loaders"):
        link = folder / kind
        if not link.is_symlink():
            link.symlink_to((root / kind).resolve(), target_is_directory=True)
    return folder


def _last_error(lines: Iterable[str]) -> str | None:
    """Pass a log on, and return its last error, the tap's if it has one."""
    last: dict[bool, str] = {}
    for line in lines:
        sys.stdout.write(line)
        sys.stdout.flush()
        if found := _ERROR.search(line):
            last[found["who"].startswith("tap-")] = found["text"]
    return last.get(True) or last.get(False)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and its children, and wait for it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS_TO_END)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
