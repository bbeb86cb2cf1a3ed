"""The demo and the tests use nothing that the user has configured.

A user's `.env`, home and environment lead to the user's service, warehouse and files. Each program
runs as the user would run it, in a copy of the project, and must not reach any of them.
`test_orchestration.py` checks the same for Dagster.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.simulator import Dataset, Simulator
from tests.support.pipeline import (
    PLUGINS,
    PROJECT,
    ForeignDatabaseError,
    Workspace,
    tap_settings,
)
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.postgres import Postgres

STREAMS = Dataset(0, newest=datetime.now(UTC)).streams
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".build", ".venv*", ".meltano", ".env", "dist", "output", "*cache*", ".hypothesis")
)


@dataclass
class Machine:
    """A user's machine.

    Attributes:
        root: Folder of all of the user's files.
        service: The service in the user's settings.
        warehouse: The database in the user's settings.
        settings: The user's settings, both in `.env` and in the environment.
    """

    root: Path
    service: Simulator
    warehouse: Postgres
    settings: Mapping[str, str]

    @property
    def project(self) -> Path:
        """The user's copy of this project, with a `.env`."""
        return self.root / "work" / "project"

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run Python as the user, in the project's folder and virtual environment.

        Args:
            *arguments: Arguments of Python.
            **more: Additional environment variables.
        """
        kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.project / ".build" / "venv" / "bin" / "python", *arguments],
            cwd=self.project,
            env={**kept, **self.settings, "HOME": str(self.root / "home"), **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )

    def files(self) -> dict[str, str]:
        """Return a digest of each of the user's files except Python's caches."""
        return {
            str(path.relative_to(self.root)): sha256(path.read_bytes()).hexdigest()
            for path in self.root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }


@pytest.fixture(scope="module")
def machine(postgres_server: str) -> Iterator[Machine]:
    """The user's machine."""
    with (
        tempfile.TemporaryDirectory(prefix="tap-campusgroups-user-") as folder,
        Simulator(Dataset(1, newest=datetime.now(UTC))) as service,
        postgres(postgres_server) as warehouse,
    ):
        root = Path(folder)
        # PostgreSQL's programs, which run as another user when started by root, are in here.
        root.chmod(0o755)
        machine = Machine(root, service, warehouse, user_settings(root, service, warehouse))
        write_files(machine)
        yield machine


def user_settings(root: Path, service: Simulator, warehouse: Postgres) -> dict[str, str]:
    """Return settings of every program that a demo or a test starts."""
    user, project = root / "user", root / "work" / "project"
    return {
        **tap_settings(service),
        "TAP_CAMPUSGROUPS__LOAD_SCHEMA": "of_the_user",
        "TARGET_POSTGRES_SQLALCHEMY_URL": warehouse.sqlalchemy_url,
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "of_the_user",
        "TARGET_JSONL_DESTINATION_PATH": str(user),
        "CAMPUSGROUPS_PSEUDONYM_KEY": "pseudonym key of the user",
        "CAMPUSGROUPS_SCHOOLS": str(user / "schools.yml"),
        "MELTANO_DATABASE_URI": f"sqlite:///{user}/meltano.db",
        "MELTANO_ENVIRONMENT": "of-the-user",
        "MELTANO_PROJECT_ROOT": str(project),
        "MELTANO_STATE_BACKEND_URI": f"file://{user}/state",
        "MELTANO_SYS_DIR_ROOT": str(project / ".meltano"),
        "DAGSTER_HOME": str(user),
        "DBT_POSTGRES_DBNAME": "of_the_user",
        "DBT_POSTGRES_HOST": "127.0.0.1",
        "DBT_POSTGRES_USER": "of_the_user",
        "DBT_PROFILES_DIR": str(root / "home" / ".dbt"),
        "DBT_TARGET_PATH": str(user / "target"),
        "DBT_LOG_PATH": str(user / "logs"),
        # No server listens there: a program that uses these fails.
        "PGHOSTADDR": "127.0.0.1",
        "PGPORT": "9",
        "PGSERVICE": "of_the_user",
        "PGSERVICEFILE": str(root / "home" / ".pg_service.conf"),
        "PGPASSFILE": str(root / "home" / ".pgpass"),
        "http_proxy": "http://127.0.0.1:9",
        "SINGER_SDK_LOG_CONFIG": str(user / "logging.yaml"),
    }


def write_files(machine: Machine) -> None:
    """Write the project, and what programs look for in a home and above a project."""
    shutil.copytree(PROJECT, machine.project, ignore=LEFT_OUT)
    # In the project's folder, because the SDK looks for `.env` in the folders above its own files.
    plugins = machine.project / PLUGINS.relative_to(PROJECT)
    plugins.mkdir(parents=True)
    (machine.project / ".build" / "venv").symlink_to(sys.prefix, target_is_directory=True)
    for kind in ("extractors", "loaders", "utilities"):
        (plugins / kind).symlink_to(PLUGINS / kind)
    variables = "".join(f"{name}='{text}'\n" for name, text in machine.settings.items())
    files = {
        **dict.fromkeys(("work/project/.env", "work/.env", "home/.env"), variables),
        "work/meltano.yml": "project_id: of-the-user\n",
        "work/project/.venv/pyvenv.cfg": "home = of-the-user\n",
        "work/project/.meltano/meltano.db": "bookmarks of the user\n",
        "user/schools.yml": "schools: []\ngroups: [nightly]\nworkers: 1\n",
        "home/.dbt/profiles.yml": "campusgroups: {target: of_the_user}\n",
        "home/.pg_service.conf": "[of_the_user]\nhostaddr=127.0.0.1\nport=9\n",
        "home/.pgpass": "*:*:*:*:of-the-user\n",
    }
    for name, text in files.items():
        path = machine.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)


PROGRAMS = {
    "make demo": ("-c", "from examples.demo.__main__ import main; raise SystemExit(main(0.05))"),
    "make test": (
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        "tests/tap/test_cli.py::test_wrong_secret_ends_run_after_one_request",
        "tests/pipelines/test_duckdb.py",
    ),
}
OUTPUT = {
    "make demo": f"All {len(STREAMS)} tables hold every row of the service exactly once.",
    "make test": "2 passed",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_program_on_a_configured_machine_uses_nothing_of_the_user(
    machine: Machine, name: str
) -> None:
    before = machine.files()
    assert "work/project/.env" in before
    machine.service.reset_log()
    done = machine.run(*PROGRAMS[name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert OUTPUT[name] in done.stdout
    assert machine.service.requests == []
    assert machine.warehouse.schemas() == {}
    assert machine.files() == before


def test_program_without_isolation_uses_the_user_s_env_file(machine: Machine) -> None:
    """So the test above can fail: the tap prefers the user's `.env` to the environment."""
    machine.service.reset_log()
    done = machine.run(
        *("-m", "tap_campusgroups", "--config", "ENV", "--test"),
        TAP_CAMPUSGROUPS_API_URL="http://127.0.0.1:9",
        NO_PROXY="127.0.0.1",
    )
    assert machine.service.requests, done.stderr


def use_another_database(project: dict[str, Any]) -> None:
    """Meltano prefers `env:` in meltano.yml to the environment."""
    project["env"]["TARGET_POSTGRES_SQLALCHEMY_URL"] = "postgresql+psycopg:///of_the_user"


def rename_the_variable(project: dict[str, Any]) -> None:
    """A setting's own `env:` replaces the variable of its name."""
    (loader,) = (one for one in project["plugins"]["loaders"] if one["name"] == "target-postgres")
    loader["settings"].append({"name": "sqlalchemy_url", "env": "WAREHOUSE_URL"})


@pytest.mark.parametrize("change", [use_another_database, rename_the_variable, None])
def test_workspace_that_leads_to_another_database_is_refused(
    postgres_server: str, tmp_path: Path, change: Any
) -> None:
    folder = Workspace(tmp_path / "first").folder
    path = folder / ("meltano.yml" if change else ".env")
    if change:
        project = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(project)
        path.write_text(yaml.safe_dump(project), encoding="utf-8")
    else:
        path.touch()
    with postgres(postgres_server) as database, pytest.raises(ForeignDatabaseError) as error:
        Workspace(tmp_path / "second", database=database, folder=folder)
    assert path.name in str(error.value)
    assert "of_the_user" not in str(error.value)


# How programs are started

PROGRAM = re.compile(r'"(?:[^"\s]*/)?(?:meltano|dagster|dbt)"')


def test_only_a_workspace_starts_meltano_dagster_and_dbt() -> None:
    """`examples/dagster` is not searched: Dagster runs it in a workspace."""
    found = {
        str(path.relative_to(PROJECT))
        for folder in ("examples/demo", "scripts", "tests")
        for path in (PROJECT / folder).rglob("*.py")
        if "import subprocess" in (text := path.read_text(encoding="utf-8"))
        if PROGRAM.search(text)
    }
    assert found == {"tests/support/pipeline.py"}


def make(*arguments: str, folder: Path = PROJECT) -> str:
    """Run make without the variables of another make, and return what it prints."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.check_output(
        ["make", *arguments],  # noqa: S607
        cwd=folder,
        env=kept,
        encoding="utf-8",
        stderr=subprocess.STDOUT,
    )


def test_make_deletes_and_writes_only_folders_of_its_own() -> None:
    text = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (names,) = re.findall(r"^.PHONY: (.*)", text, re.MULTILINE)
    printed = make("--dry-run", "--always-make", *names.split(), "PYTHON=/usr/bin/false")
    removed = {path for line in re.findall(r"rm -rf ([^&\n]*)", printed) for path in line.split()}
    assert {".build", "dist"} <= removed
    assert all(re.fullmatch(r"(?:\.build|dist)(?:/[\w-]+)?", path) for path in removed)
    installs = [line for line in printed.splitlines() if "meltano " in line and "install" in line]
    assert installs
    for line in installs:
        for word in (
            *("--env-file=/dev/null", f"MELTANO_PROJECT_ROOT='{PROJECT}'"),
            f"MELTANO_SYS_DIR_ROOT='{PROJECT}/.build/meltano'",
            f"MELTANO_DATABASE_URI='sqlite:///{PROJECT}/.build/meltano/install.db'",
        ):
            assert word in line


def test_make_clean_keeps_the_user_s_environment_and_bookmarks(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    kept = {".venv/pyvenv.cfg", ".meltano/meltano.db", ".env", "meltano.yml", "Makefile"}
    for name in (*kept - {"Makefile"}, ".build/venv/pyvenv.cfg", "dist/a.whl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    make("clean", folder=tmp_path)
    assert {str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file()} == kept


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ((sys.version_info[0], sys.version_info[1]), ""),
        ((3, 99), "has Python {0}.{1}, not 3.99; run `make clean` first"),
        ((3, 10), "Python 3.11 or newer is needed"),
    ],
)
def test_make_with_another_python_is_refused(
    tmp_path: Path, named: tuple[int, int], problem: str
) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    (tmp_path / ".build" / "venv" / "bin").mkdir(parents=True)
    (tmp_path / ".build" / "venv" / "bin" / "python").symlink_to(sys.executable)
    # A Python of any version, which only `-c` programs see.
    program = f"import sys; sys.version_info = {named}; exec(sys.argv[1])"
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{program}' \"$2\"\n", "utf-8")
    python.chmod(0o755)
    if not problem:
        make("python", f"PYTHON={python}", folder=tmp_path)
        return
    with pytest.raises(subprocess.CalledProcessError) as error:
        make("python", f"PYTHON={python}", folder=tmp_path)
    assert problem.format(*sys.version_info) in error.value.output
