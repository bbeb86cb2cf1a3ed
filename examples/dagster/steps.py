"""A step: `meltano run` for one group of streams of one school, isolated from the others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from examples.dagster.errors import StepRefusedError
from examples.dagster.lock import lock
from examples.dagster.plan import PROJECT, task_of
from examples.nightly.run import REPORT_VARIABLE, problem, unconfirmed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from examples.dagster.plan import Plan, School

_LINE: Final = re.compile(
    r"\[(?P<level>\w+) *\] (?P<logger>\S+) +(?P<text>(?!Block run completed)\S.*)"
)
_EXCEPTION: Final = re.compile(r"(?:\w+\.)*\w+(?:Error|Exception): |(?:\w+\.)+\w+: ")
"""The last line of a traceback."""

_TERMINATION_SECONDS: Final = 20.0


def environment(plan: Plan, school: School, group: str, exports: int) -> dict[str, str]:
    """Return the environment of a step's process; it holds only its own school's secret.

    Raises:
        StepRefusedError: If the variable of the secret is not set.
    """
    environment = without_secrets(plan)
    secret = os.environ.get(school.api_secret_variable)
    if not secret:
        message = (
            f"{school.api_secret_variable} is not set."
            f" Set it to the API secret of school '{school.code}'."
        )
        raise StepRefusedError(message)
    # meltano.yml sets a value for each group, which takes precedence over
    # TAP_CAMPUSGROUPS_MAX_CONCURRENT_EXPORTS: override the group's own variable.
    limit = f"TAP_CAMPUSGROUPS__{group.upper().replace('-', '_')}_MAX_CONCURRENT_EXPORTS"
    environment |= {
        "TAP_CAMPUSGROUPS_API_SECRET": secret,
        "TAP_CAMPUSGROUPS_SCHOOL_CODE": school.code,
        limit: str(exports),
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": school.schema,
        "MELTANO_SYS_DIR_ROOT": str(folder := _system_folder(school, group)),
        REPORT_VARIABLE: str(folder / "run-report.json"),
    }
    if school.api_url is not None:
        environment["TAP_CAMPUSGROUPS_API_URL"] = school.api_url
    return environment


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        streams: The figures of each stream, from the tap's run report.
        loaded: The streams that are complete, and loaded.
        problem: Why the run failed, or None.
    """

    streams: tuple[dict[str, Any], ...]
    loaded: frozenset[str]
    problem: str | None


def run(plan: Plan, school: School, group: str, exports: int, *, patience: float = 0) -> Outcome:
    """Run a group of streams of a school; Meltano's log goes to stdout.

    Args:
        plan: The plan.
        school: One of its schools.
        group: The job of `meltano.yml`.
        exports: How many exports it may have at once.
        patience: For how many seconds another run of the group may still be in progress.

    Raises:
        StepFailedError: If the system database cannot be reached, or is lost.
        StepRefusedError: If it cannot start, for instance because another one is in progress.
    """
    variables = environment(plan, school, group, exports)
    report = Path(variables[REPORT_VARIABLE])
    with lock(f"group '{group}' of school '{school.code}'", patience) as descriptor:
        report.unlink(missing_ok=True)
        reason = _run_meltano(
            # Meltano's own check would refuse a run for five minutes after one that was killed.
            *("run", "--no-install", "--force", f"--state-id-suffix={school.code}", group),
            variables=variables,
            descriptor=descriptor,
        )
        state_id = _state_id(school, group)
        if not reason and (incomplete := problem(report, state_id, environment=variables)):
            reason = f"Run incomplete: {incomplete}"
        try:
            figures = json.loads(report.read_bytes())
        except (OSError, ValueError):
            return Outcome((), frozenset(), reason or "the tap wrote no run report")
        streams = tuple(figures["streams"])
        loaded = {stream["stream"] for stream in streams if _is_complete(stream)}
        if reason:
            waiting = unconfirmed(figures, state_id, environment=variables)
            loaded &= set(figures["bookmarks"]) - set(waiting)
        return Outcome(streams, frozenset(loaded), reason)


def _is_complete(stream: dict[str, Any]) -> bool:
    return not stream["error"] and stream["windows_done"] == stream["windows"]


def _run_meltano(*arguments: str, variables: dict[str, str], descriptor: int) -> str | None:
    """Run Meltano and return why it failed."""
    meltano = Path(sys.executable).with_name("meltano")
    # A new session: Meltano, tap and loader can be terminated together.
    with subprocess.Popen(  # noqa: S603 - the names come from the plan
        [meltano, "--log-format=uncolored", *arguments],
        cwd=PROJECT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        pass_fds=(descriptor,),
        start_new_session=True,
    ) as process:
        try:
            reason = forward(process.stdout or ())
            code = process.wait()
        finally:
            # If Meltano was killed, tap and loader are still running.
            _terminate(process)
    return None if code == 0 else reason or f"meltano ended with exit code {code}"


def without_secrets(plan: Plan) -> dict[str, str]:
    """Return the environment without the secrets of the schools."""
    secrets = {school.api_secret_variable for school in plan.schools}
    return {name: value for name, value in os.environ.items() if name not in secrets}


def _state_id(school: School, group: str) -> str:
    """Return the id under which Meltano stores the state of a step."""
    extractor, loader, *_ = task_of(group).split()
    project = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
    name = os.environ.get("MELTANO_ENVIRONMENT") or project["default_environment"]
    return f"{name}:{extractor}-to-{loader}:{school.code}"


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


def forward(lines: Iterable[str]) -> str | None:
    """Forward a log to stdout and return why the run failed.

    That is the last error of the plugin that was the first to report one. Meltano logs the lines of
    a loader at level info, so exceptions count as errors at every level.
    """
    errors: dict[str, str] = {}
    for line in lines:
        sys.stdout.write(line)
        sys.stdout.flush()
        if (found := _LINE.search(line)) and (
            found["level"] in {"error", "critical"} or _EXCEPTION.match(found["text"])
        ):
            errors[found["logger"]] = found["text"]
    reason = errors.pop("meltano", None)
    return next(iter(errors.values()), reason)


def _terminate(process: subprocess.Popen[str]) -> None:
    """Terminate a process and its children and wait for it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TERMINATION_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
