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

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.simulator import Simulator

PROJECT: Final = Path(__file__).resolve().parent.parent
"""The folder of `meltano.yml`."""

TAP: Final = "tap-campusgroups"

LOAD: Final = ("run", TAP, "target-postgres")
"""Meltano's command that loads."""

MODEL: Final = ("run", "dbt-postgres:build")
"""Meltano's command that makes the models of `transform` and tests them."""

_EXECUTABLES: Final = {
    TAP: f"extractors/{TAP}/venv/bin/{TAP}",
    "target-postgres": "loaders/target-postgres/venv/bin/target-postgres",
    "target-jsonl": "loaders/target-jsonl/venv/bin/target-jsonl",
    "dbt-postgres": "utilities/dbt-postgres/venv/bin/dbt",
}
_SECONDS_TO_END: Final = 10.0

# PGTZ: whether `meltano.yml` sets it is worth knowing.
_NOT_PASSED_ON: Final = (
    *("TAP_CAMPUSGROUPS_", "TARGET_", "MELTANO_", "SINGER_SDK_", "DBT_", "XDG_"),
    "PGTZ",
)


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
    return PROJECT / ".meltano" / _EXECUTABLES[name]


def missing_plugins() -> list[str]:
    """List the plugins that `meltano install` has not installed."""
    return [name for name in _EXECUTABLES if not plugin(name).exists()]


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


def models_environment(database_url: str, home: Path) -> dict[str, str]:
    """Make the variables that `MODEL` needs beside those of `environment`.

    Args:
        database_url: The database that was loaded, in libpq's form.
        home: A folder for what dbt makes and its log.
    """
    parts = conninfo_to_dict(database_url)
    names = ("host", "port", "user", "password", "dbname")
    return {
        **{f"DBT_POSTGRES_{name.upper()}": str(parts[name]) for name in names if parts.get(name)},
        "DBT_TARGET_PATH": str(home / "dbt"),
        "DBT_LOG_PATH": str(home / "dbt"),
    }


def meltano_run(
    environment: Mapping[str, str],
    command: Sequence[str] = LOAD,
    *,
    project: Path = PROJECT,
    on_line: Callable[[str], None] | None = None,
    timeout: float = 120.0,
) -> Finished:
    """Run Meltano in the folder of a project.

    Args:
        environment: See the function of this name.
        command: What Meltano is to do.
        project: The folder of its `meltano.yml`; this project's if not given.
        on_line: Given each line of the log as it comes.
        timeout: Seconds after which it is ended.

    Returns:
        How it ended.

    Raises:
        TimeoutError: If it had to be ended.
    """
    words: list[str | Path] = [
        Path(sys.executable).with_name("meltano"),
        "--log-format=uncolored",
        f"--env-file={os.devnull}",  # not the user's .env
        *command,
    ]
    lines = []
    # A session of its own, so that Meltano, tap and loader can be ended together.
    with subprocess.Popen(  # noqa: S603
        words,
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
