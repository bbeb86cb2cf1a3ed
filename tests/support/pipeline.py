"""Runs this project's Meltano, dbt and Dagster out of reach of whatever the user has configured.

All demonstrations and tests start these programs by a `Workspace`, which a test checks: a user's
`.env`, environment, home and Meltano state lead to the user's own service and warehouse.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Final

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.simulator import Simulator
    from tests.support.postgres import Postgres

PROJECT: Final = Path(__file__).resolve().parents[2]
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
_LONGEST_SECONDS: Final = 300.0
_SECONDS_TO_END: Final = 10.0

_COPIED: Final = ("meltano.yml", "examples")
"""What a workspace has of the project; `.env` is not among it."""

_PASSED_ON: Final = frozenset(
    {
        *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    }
)
"""What programs get of this process's environment, beside `LC_*`: nothing that configures them."""


class ForeignDatabaseError(Exception):
    """Meltano would load into, or read from, a database that is not the workspace's own."""


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
    """Return an environment for a program that must find nothing of the user's.

    Args:
        home: A folder of the program's own, in which a link to the Singer SDK is made.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith("LC_")
    }
    return {**kept, "HOME": str(home), "PYTHONPATH": str(link_sdk(home / "python"))}


def link_sdk(folder: Path) -> Path:
    """Make a folder for PYTHONPATH by which `--config ENV` finds no `.env` of the user.

    The SDK looks for `.env` in the folders above its own, which a virtual environment in this
    project has in common with the user's `.env`, and prefers it to the environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "singer_sdk"
    if not link.is_symlink():
        link.symlink_to(Path(str(resources.files("singer_sdk"))), target_is_directory=True)
    return folder


class Workspace:
    """A Meltano project in a folder of its own, with the plugins that are installed in this one.

    Attributes:
        folder: The project's folder.
        environment: The environment of every command.
    """

    def __init__(
        self,
        home: Path,
        *,
        service: Simulator | None = None,
        database: Postgres | None = None,
        folder: Path | None = None,
    ) -> None:
        """Make the folder, and check that Meltano loads into the given database.

        Args:
            home: A folder for all that the programs keep.
            service: What the tap reads.
            database: What target-postgres loads into, and dbt reads.
            folder: A Meltano project to use as it is, in place of a copy of this one.

        Raises:
            ForeignDatabaseError: See there.
        """
        self._home = home
        self._database = database
        self.folder = home / "project" if folder is None else folder
        self.environment = {
            **bare_environment(home),
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
        }
        if folder is None:
            _copy_project(self.folder)
            # The plugins are those of this project, and are to stay as they are.
            self.environment["MELTANO_AUTO_INSTALL"] = "false"
        if service is not None:
            self.environment |= {
                "TAP_CAMPUSGROUPS_API_URL": service.url,
                "TAP_CAMPUSGROUPS_API_SECRET": service.api_secret,
                "TAP_CAMPUSGROUPS_SCHOOL_CODE": service.school_code,
            }
        if database is not None:
            parts = conninfo_to_dict(database.url)
            models = {
                name: str(parts[name])
                for name in ("host", "port", "user", "password", "dbname")
                if parts.get(name)
            }
            self.environment |= {
                "TARGET_POSTGRES_SQLALCHEMY_URL": database.sqlalchemy_url,
                **{f"DBT_POSTGRES_{name.upper()}": value for name, value in models.items()},
            }
            if (self.folder / ".env").exists():
                # Dagster prefers it to the environment, which is what the checks go by.
                message = "the workspace has a .env, which may lead to another database"
                raise ForeignDatabaseError(message)
            self._check("target-postgres", {"sqlalchemy_url": database.sqlalchemy_url})
            self._check("dbt-postgres", models)

    @property
    def system_folder(self) -> Path:
        """Where Meltano keeps its state, its logs and the plugins."""
        return self.folder / ".meltano"

    def meltano(
        self,
        *command: str,
        variables: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Finished:
        """Run Meltano.

        Args:
            *command: What Meltano is to do.
            variables: Environment variables of this command, more than the workspace's.
            on_line: Given each line of the log as it comes.

        Raises:
            TimeoutError: If it had to be ended.
        """
        meltano = Path(sys.executable).with_name("meltano")
        words = [str(meltano), "--log-format=uncolored", *command]
        return self._run(words, variables or {}, on_line=on_line)

    def dagster(self, *command: str) -> Finished:
        """Run Dagster.

        Args:
            *command: What Dagster is to do.

        Raises:
            TimeoutError: If it had to be ended.
        """
        return self._run_module("dagster", *command)

    def shell(self, script: str, variables: Mapping[str, str]) -> Finished:
        """Run a script of the documentation, in which `meltano` is a command.

        Args:
            script: What to run, up to the first command that fails.
            variables: Environment variables, more than the workspace's.

        Raises:
            TimeoutError: If it had to be ended.
        """
        path = os.pathsep.join((str(Path(sys.executable).parent), self.environment["PATH"]))
        return self._run(["sh", "-eu", "-c", script], {"PATH": path, **variables})

    def _run_module(self, *command: str) -> Finished:
        home = self._home / "dagster"
        if not home.exists():
            home.mkdir()
            shutil.copy(self.folder / "examples" / "dagster" / "dagster.yaml", home)
        # The copy of `orchestrate` comes before this project's, wherever Dagster imports it.
        path = os.pathsep.join((str(self.folder), self.environment["PYTHONPATH"]))
        words = [sys.executable, "-m", *command]
        return self._run(words, {"DAGSTER_HOME": str(home), "PYTHONPATH": path})

    def _check(self, plugin: str, expected: dict[str, str]) -> None:
        """Ask Meltano what a plugin's settings are, with all that it goes by."""
        printed = self.meltano("--log-level=error", "config", "--unsafe", "print", plugin)
        with suppress(ValueError):
            found = json.loads(printed.output)
            if all(str(found.get(name)) == value for name, value in expected.items()):
                return
        # Neither the settings nor the output: they may hold a password.
        message = f"{plugin} is not configured for the database of this run"
        raise ForeignDatabaseError(message)

    def _run(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        *,
        on_line: Callable[[str], None] | None = None,
    ) -> Finished:
        lines = []
        # A session of its own, so that Meltano, tap and loader can be ended together.
        with subprocess.Popen(
            words,
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            overdue = Timer(_LONGEST_SECONDS, _signal, (process, signal.SIGKILL))
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
            name = Path(words[0]).name
            message = f"{name} did not end within {_LONGEST_SECONDS:.0f} s:\n{''.join(lines[-20:])}"
            raise TimeoutError(message)
        return Finished(code, "".join(lines))


def _copy_project(folder: Path) -> None:
    """Copy what Meltano, dbt and Dagster need; of the plugins, link the virtual environments."""
    folder.mkdir()
    for name in _COPIED:
        source = PROJECT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns(".env", "__pycache__", "target", "logs")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder)
    for executable in _EXECUTABLES.values():
        venv = Path(".meltano", executable).parent.parent
        (folder / venv).parent.mkdir(parents=True)
        (folder / venv).symlink_to(PROJECT / venv, target_is_directory=True)


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
