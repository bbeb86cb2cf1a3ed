"""This project's Meltano, dbt and Dagster, isolated from everything that the user has configured.

A user's `.env`, environment, home and Meltano state lead to the user's own service and warehouse.
All demos and tests start these programs through a `Workspace`; `tests/pipelines/test_isolation.py`
checks that they do.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, Final

import yaml
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from tests.simulator import Simulator
    from tests.support.postgres import Postgres

PROJECT: Final = Path(__file__).resolve().parents[2]
"""The folder of `meltano.yml`."""

PLUGINS: Final = PROJECT / ".build" / "meltano"
"""The folder of the plugins that `make` installs: not `.meltano`, which belongs to the user."""

TAP: Final = "tap-campusgroups"

LOAD: Final = ("run", TAP, "target-postgres")
"""Meltano's command that loads."""

MODEL: Final = ("run", "dbt-postgres:build")
"""Meltano's command that builds and tests the models of `examples/dbt`."""

_EXECUTABLES: Final = {
    TAP: f"extractors/{TAP}/venv/bin/{TAP}",
    "target-postgres": "loaders/target-postgres/venv/bin/target-postgres",
    "target-jsonl": "loaders/target-jsonl/venv/bin/target-jsonl",
    "dbt-postgres": "utilities/dbt-postgres/venv/bin/dbt",
}
_MAX_SECONDS: Final = 300.0
_MAX_SECONDS_TO_END: Final = 10.0

_COPIED: Final = ("meltano.yml", "examples")
"""The parts of the project that a workspace has. `.env` is not one of them."""

_PASSED_ON: Final = frozenset(
    [
        *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    ]
)
"""Environment variables that programs inherit, besides `LC_*`: none of them configures a plugin."""


class ForeignDatabaseError(Exception):
    """Meltano would load into, or read from, a database that is not the workspace's own."""


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    Attributes:
        code: Exit code.
        output: Everything written to stdout and stderr, in order.
    """

    code: int
    output: str


def plugin(name: str) -> Path:
    """Return the executable of an installed plugin of `meltano.yml`."""
    return PLUGINS / _EXECUTABLES[name]


def write_jsonl(messages: str, folder: Path) -> None:
    """Append the records of the tap's output to the files of target-jsonl in a folder."""
    config = folder.parent / "target.json"
    config.write_text(
        json.dumps({"destination_path": str(folder), "do_timestamp_file": False}), encoding="utf-8"
    )
    subprocess.run(
        [plugin("target-jsonl"), "--config", config],
        env=bare_environment(folder.parent),
        input=messages.encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )


def missing_plugins(names: Iterable[str] = tuple(_EXECUTABLES)) -> list[str]:
    """Return those of some plugins that `make` has not installed."""
    return [name for name in names if not plugin(name).exists()]


def offline_installation() -> dict[str, str]:
    """Return the environment in which uv installs what `make` has downloaded before."""
    cache = subprocess.check_output(
        [Path(sys.executable).with_name("uv"), "cache", "dir"], encoding="utf-8"
    )
    # The cache depends on the configured package registries.
    ours = {name: text for name, text in os.environ.items() if name.startswith("UV_")}
    return {**ours, "UV_CACHE_DIR": cache.strip(), "UV_OFFLINE": "1"}


def bare_environment(home: Path) -> dict[str, str]:
    """Return an environment without any of the user's settings.

    Args:
        home: A folder for the program's own files; a link to the Singer SDK is created in it.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith("LC_")
    }
    return {**kept, "HOME": str(home), "PYTHONPATH": str(link_sdk(home / "python"))}


def link_sdk(folder: Path) -> Path:
    """Create a folder for PYTHONPATH with which `--config ENV` does not find the user's `.env`.

    The SDK looks for `.env` in the folders above its own, and prefers it to the environment. The
    folders above a virtual environment in this project include the project itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "singer_sdk"
    if not link.is_symlink():
        link.symlink_to(Path(str(resources.files("singer_sdk"))), target_is_directory=True)
    return folder


def tap_settings(service: Simulator) -> dict[str, str]:
    """Return the environment variables that point the tap at a service."""
    return {
        "TAP_CAMPUSGROUPS_API_URL": service.url,
        "TAP_CAMPUSGROUPS_API_SECRET": service.api_secret,
        "TAP_CAMPUSGROUPS_SCHOOL_CODE": service.school_code,
    }


_STATES: Final = "SELECT state_id, completed_state FROM state"


def meltano_states(system_folder: Path) -> dict[str, dict[str, Any]]:
    """Return the Singer states in Meltano's system database by state id."""
    with closing(sqlite3.connect(system_folder / "meltano.db")) as connection:
        return _singer_states(connection.execute(_STATES))


def database_states(database: Postgres) -> dict[str, dict[str, Any]]:
    """Return the Singer states by state id, if the database is Meltano's system database."""
    with database.connect() as connection:
        return _singer_states(connection.execute(_STATES))


def _singer_states(found: Iterable[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    return {state_id: json.loads(state)["singer_state"] for state_id, state in found}


class Workspace:
    """A Meltano project in a separate folder with the plugins installed in this project.

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
        """Create the folder and check that nothing leads Meltano to another database.

        Args:
            home: A folder for everything that the programs write.
            service: The service that the tap reads.
            database: The database that target-postgres loads into and dbt reads.
            folder: An existing Meltano project to use instead of a copy of this one.

        Raises:
            ForeignDatabaseError: The project has settings that precede the environment.
        """
        self._home = home
        self.folder = home / "project" if folder is None else folder
        self.environment = {**bare_environment(home), "MELTANO_CLI_DISABLE_VERSION_CHECK": "true"}
        if folder is None:
            _copy_project(self.folder)
            # The plugins belong to this project and must not be changed.
            self.environment["MELTANO_AUTO_INSTALL"] = "false"
        if service is not None:
            self.environment |= tap_settings(service)
        if database is not None:
            parts = conninfo_to_dict(database.url)
            variables = {
                "TARGET_POSTGRES_SQLALCHEMY_URL": database.sqlalchemy_url,
                **{
                    f"DBT_POSTGRES_{name.upper()}": str(parts[name])
                    for name in ("host", "port", "user", "password", "dbname")
                    if parts.get(name)
                },
            }
            self.environment |= variables
            _check_precedence(self.folder, variables)

    @property
    def system_folder(self) -> Path:
        """Folder of Meltano's state, logs and plugins."""
        return self.folder / ".meltano"

    def states(self) -> dict[str, dict[str, Any]]:
        """Return the Singer states that Meltano has stored by state id."""
        return meltano_states(self.system_folder)

    def meltano(
        self,
        *command: str,
        variables: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Finished:
        """Run Meltano.

        Args:
            *command: Arguments of Meltano.
            variables: Additional environment variables.
            on_line: Called with each line of the log as it arrives.

        Raises:
            TimeoutError: The command did not end in time and was killed.
        """
        meltano = Path(sys.executable).with_name("meltano")
        words = [str(meltano), "--log-format=uncolored", *command]
        return self._run(words, variables or {}, on_line=on_line)

    def dagster(self, *command: str) -> Finished:
        """Run Dagster, with the same exceptions as `meltano`."""
        words = [sys.executable, "-m", "dagster", *command]
        return self._run(words, self.dagster_variables())

    def dagster_variables(self) -> dict[str, str]:
        """Return the environment variables of Dagster; its home is created if necessary."""
        home = self._home / "dagster"
        if not home.exists():
            home.mkdir()
            shutil.copy(self.folder / "examples" / "dagster" / "dagster.yaml", home)
        # Dagster imports the workspace's copy of `examples`, not this project's.
        path = os.pathsep.join((str(self.folder), self.environment["PYTHONPATH"]))
        return {"DAGSTER_HOME": str(home), "PYTHONPATH": path}

    @contextmanager
    def background(
        self, words: Sequence[str], variables: Mapping[str, str], log: Path
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a program of another environment until the end of a block."""
        with (
            log.open("a", encoding="utf-8") as output,
            subprocess.Popen(
                words,
                cwd=self.folder,
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                _end(process)

    def shell(
        self,
        script: str,
        variables: Mapping[str, str],
        *,
        on_line: Callable[[str], None] | None = None,
    ) -> Finished:
        """Run a script of the documentation up to the first command that fails.

        Args:
            script: The script, for a shell with `meltano` on the path.
            variables: Additional environment variables.
            on_line: Called with each line of the output as it arrives.
        """
        path = os.pathsep.join((str(Path(sys.executable).parent), self.environment["PATH"]))
        words = ["sh", "-eu", "-c", script]
        return self._run(words, {"PATH": path, **variables}, on_line=on_line)

    def _run(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        *,
        on_line: Callable[[str], None] | None = None,
    ) -> Finished:
        lines = []
        # In a new session, so that Meltano, tap and loader can be killed together.
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
            overdue = Timer(_MAX_SECONDS, _signal, (process, signal.SIGKILL))
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
            message = f"{name} did not end within {_MAX_SECONDS:.0f} s:\n{''.join(lines[-20:])}"
            raise TimeoutError(message)
        return Finished(code, "".join(lines))


def _check_precedence(folder: Path, variables: Collection[str]) -> None:
    """Check that nothing in a project precedes variables of the environment.

    Dagster prefers `.env`; Meltano prefers `env:` in its files, and a setting's own `env:` renames
    its variable.
    """
    if (folder / ".env").exists():
        message = "the workspace has a .env, which may lead to another database"
        raise ForeignDatabaseError(message)
    for path in (folder / "meltano.yml", *(folder / "examples").rglob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if found := set(_preceding_keys(content, variables)):
            # Not the value, which may hold a password.
            message = f"{path.name} precedes the environment with {', '.join(sorted(found))}"
            raise ForeignDatabaseError(message)


def _preceding_keys(node: Any, variables: Collection[str]) -> Iterator[str]:
    if isinstance(node, dict):
        suffix = f"_{node.get('name')}".upper()
        is_ours = any(name.endswith(suffix) for name in variables)
        for key, value in node.items():
            is_renamed = is_ours and key in {"env", "env_aliases"}
            if is_renamed or key in variables:
                yield key
            yield from _preceding_keys(value, variables)
    elif isinstance(node, list):
        for item in node:
            yield from _preceding_keys(item, variables)


def _copy_project(folder: Path) -> None:
    """Copy what Meltano, dbt and Dagster need; link the virtual environments of the plugins."""
    folder.mkdir()
    for name in _COPIED:
        source = PROJECT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns(".env", "__pycache__", "target", "logs")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder)
    for executable in _EXECUTABLES.values():
        venv = Path(executable).parent.parent
        link = folder / ".meltano" / venv
        link.parent.mkdir(parents=True)
        link.symlink_to(PLUGINS / venv, target_is_directory=True)


def _end(process: subprocess.Popen[str]) -> None:
    """Stop a process and its children, and wait for it."""
    _signal(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_MAX_SECONDS_TO_END)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
