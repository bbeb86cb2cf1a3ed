"""Runs the project's Meltano so that nothing of it stays, for the demo and the end-to-end test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.simulator import Simulator

PROJECT: Final = Path(__file__).resolve().parent.parent
"""The folder of `meltano.yml`."""

TAP: Final = "tap-campusgroups"

_PLUGINS: Final = {TAP: "extractors", "target-postgres": "loaders", "target-jsonl": "loaders"}
_SECONDS_TO_END: Final = 10.0

# PGTZ: whether `meltano.yml` sets it is worth knowing.
_NOT_PASSED_ON: Final = ("TAP_CAMPUSGROUPS_", "TARGET_", "MELTANO_", "SINGER_SDK_", "XDG_", "PGTZ")


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    Attributes:
        code: Its exit code.
        output: What it wrote to stdout and stderr, in order.
    """

    code: int
    output: str


def plugin(name: str) -> Path:
    """Return the executable of an installed plugin of `meltano.yml`."""
    return PROJECT / ".meltano" / _PLUGINS[name] / name / "venv" / "bin" / name


def missing_plugins() -> list[str]:
    """List the plugins that `meltano install` has not installed."""
    return [name for name in _PLUGINS if not plugin(name).exists()]


def bare_environment(home: Path) -> dict[str, str]:
    """Copy this process's environment without the user's own settings, proxies and home."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_PASSED_ON) and not name.lower().endswith("_proxy")
    }
    return {**kept, "HOME": str(home)}


def environment(simulator: Simulator, database_url: str, home: Path) -> dict[str, str]:
    """Make the environment that configures `meltano run tap-campusgroups target-postgres`.

    Args:
        simulator: The service.
        database_url: Where to load to, in SQLAlchemy's form.
        home: An empty folder for Meltano's state, logs and caches.
    """
    return {
        **bare_environment(home),
        "TAP_CAMPUSGROUPS_API_URL": simulator.url,
        "TAP_CAMPUSGROUPS_API_SECRET": simulator.api_secret,
        "TAP_CAMPUSGROUPS_SCHOOL_CODE": simulator.school_code,
        "TARGET_POSTGRES_SQLALCHEMY_URL": database_url,
        "MELTANO_DATABASE_URI": f"sqlite:///{home / 'meltano.db'}",
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
    }


def meltano_run(
    environment: Mapping[str, str],
    *,
    arguments: Sequence[str] = ("run", TAP, "target-postgres"),
    project: Path = PROJECT,
    on_line: Callable[[str], None] | None = None,
    timeout: float = 120.0,
) -> Finished:
    """Run `meltano run tap-campusgroups target-postgres`, or another command of Meltano.

    Args:
        environment: See the function of this name.
        arguments: The command.
        project: The folder to run it in.
        on_line: Given each line of the log as it comes.
        timeout: Seconds after which it is ended.

    Returns:
        How it ended.

    Raises:
        TimeoutError: If it had to be ended.
    """
    command: list[str | Path] = [
        Path(sys.executable).with_name("meltano"),
        "--log-format=uncolored",
        f"--env-file={os.devnull}",  # not the user's .env
        *arguments,
    ]
    lines = []
    # A session of its own, so that Meltano, tap and loader can be ended together.
    with subprocess.Popen(  # noqa: S603
        command,
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        overdue = Timer(timeout, _signal, (process, signal.SIGKILL))
        overdue.start()
        try:
            for line in process.stdout or ():
                lines.append(line)
                if on_line is not None:
                    on_line(line.rstrip("\n"))
            code = process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            overdue.cancel()
    if code == -signal.SIGKILL:
        message = f"meltano did not end within {timeout:.0f} s:\n{''.join(lines[-20:])}"
        raise TimeoutError(message)
    return Finished(code, "".join(lines))


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and its children, and wait for it."""
    _signal(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS_TO_END)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
