"""Demonstrations and tests use nothing that a user has configured.

A hostile `.env`, home and environment lead to the user's service, warehouse and files. Each program
runs as the user would run it, in a copy of the project's folder; nothing of the user's is reached.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.simulator import Dataset, Simulator
from tests.support.pipeline import PROJECT, ForeignDatabaseError, Workspace, missing_plugins
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.postgres import Postgres

STREAMS = Dataset(0, newest=datetime.now(UTC)).streams
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv*", ".meltano", ".env", "dist", "output", "*cache*", ".hypothesis")
)


@dataclass
class Place:
    """A user's machine.

    Attributes:
        root: Above all of the user's files.
        project: The user's copy of this project, with a `.env`.
        service: The service that the user's settings name.
        warehouse: The database that the user's settings name.
        settings: The user's settings, as in `.env` and in the environment.
    """

    root: Path
    project: Path
    service: Simulator
    warehouse: Postgres
    settings: Mapping[str, str]

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run Python as the user, in the project's folder and virtual environment.

        Args:
            *arguments: Its command line.
            **more: Environment variables, more than the user's settings.
        """
        kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.project / ".venv" / "bin" / "python", *arguments],
            cwd=self.project,
            env={**kept, **self.settings, "HOME": str(self.root / "home"), **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )

    def files(self) -> dict[str, str]:
        """Return a digest of each of the user's files, but for Python's caches."""
        return {
            str(path.relative_to(self.root)): sha256(path.read_bytes()).hexdigest()
            for path in self.root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    def tables(self) -> list[str]:
        """List the tables of the warehouse."""
        query = (
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        with self.warehouse.connect() as connection:
            return [name for (name,) in connection.execute(query)]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """The user's machine."""
    if missing := missing_plugins():
        pytest.fail(f"not installed: {', '.join(missing)}; run `make test`, which does it")
    with tempfile.TemporaryDirectory(prefix="tap-campusgroups-user-") as folder:
        # Run by root, PostgreSQL's programs have an account of their own, and are in here.
        Path(folder).chmod(0o755)
        with furnish(Path(folder)) as place:
            yield place


@contextmanager
def furnish(root: Path) -> Iterator[Place]:
    """Make the user's machine in a folder."""
    project = root / "work" / "project"
    shutil.copytree(PROJECT, project, ignore=LEFT_OUT)
    # A path through the project's folder: the SDK looks for `.env` above its own files.
    (project / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    (project / ".meltano").mkdir()
    for kind in ("extractors", "loaders", "utilities"):
        (project / ".meltano" / kind).symlink_to(PROJECT / ".meltano" / kind)
    with ExitStack() as stack:
        service = stack.enter_context(Simulator(Dataset(1, newest=datetime.now(UTC))))
        warehouse = stack.enter_context(postgres())
        settings = hostile(root, project, service, warehouse)
        lines = "".join(f"{name}='{text}'\n" for name, text in settings.items())
        for folder in (project, root / "work", root / "home"):
            folder.mkdir(exist_ok=True)
            (folder / ".env").write_text(lines, encoding="utf-8")
        write_home(root / "home")
        yield Place(root, project, service, warehouse, settings)


def hostile(root: Path, project: Path, service: Simulator, warehouse: Postgres) -> dict[str, str]:
    """Make settings of every program that a demonstration or a test starts."""
    user = root / "user"
    user.mkdir()
    (user / "schools.yml").write_text("schools: []\ngroups: [nightly]\nworkers: 1\n")
    return {
        "TAP_CAMPUSGROUPS_API_URL": service.url,
        "TAP_CAMPUSGROUPS_API_SECRET": service.api_secret,
        "TAP_CAMPUSGROUPS_SCHOOL_CODE": service.school_code,
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
        # No server listens there: a program that follows these fails.
        "PGHOSTADDR": "127.0.0.1",
        "PGPORT": "9",
        "PGSERVICE": "of_the_user",
        "PGSERVICEFILE": str(root / "home" / ".pg_service.conf"),
        "PGPASSFILE": str(root / "home" / ".pgpass"),
        "http_proxy": "http://127.0.0.1:9",
        "SINGER_SDK_LOG_CONFIG": str(user / "logging.yaml"),
    }


def write_home(home: Path) -> None:
    """Write what programs look for in a user's home, and in the folders above a project."""
    (home / ".dbt").mkdir()
    (home / ".dbt" / "profiles.yml").write_text("campusgroups: {target: of_the_user}\n")
    (home / ".pg_service.conf").write_text("[of_the_user]\nhostaddr=127.0.0.1\nport=9\n")
    (home / ".pgpass").write_text("*:*:*:*:of-the-user\n")
    (home / ".pgpass").chmod(0o600)
    (home.parent / "work" / "meltano.yml").write_text("project_id: of-the-user\n")


ROWS = dict.fromkeys(STREAMS, 5)
PROGRAMS = {
    "make demo": ("-c", f"from demo.__main__ import main; raise SystemExit(main({ROWS!r}))"),
    "make orchestrate": (
        "-c",
        "from demo.scale_out import main; raise SystemExit(main(['north'], ['money']))",
    ),
    "make test": (
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        "tests/tap/test_connection_test.py::test_a_wrong_secret_is_one_request_and_one_line",
        "tests/tap/test_sdk_contract.py::test_invoke_calls_our_override_of_sync_all",
        "tests/pipelines/test_end_to_end.py::test_plain_pipe_into_jsonl",
        "tests/pipelines/test_meltano_config_test.py::test_invoke_tells_which_streams_may_be_read",
    ),
}
SAID = {
    "make demo": f"All {len(STREAMS)} tables have every row of the service, each once.",
    "make orchestrate": "north: 300 rows at the service, 300 in PostgreSQL",
    "make test": "4 passed",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_with_hostile_settings_uses_nothing_of_the_user(place: Place, name: str) -> None:
    before = place.files()
    assert "work/project/.env" in before
    place.service.reset_log()
    done = place.run(*PROGRAMS[name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert SAID[name] in done.stdout
    assert place.service.requests == []
    assert place.tables() == []
    assert place.files() == before


def test_hostile_settings_would_be_used_by_a_program_that_is_not_kept_away(place: Place) -> None:
    """The test above can fail: for the tap, the user's `.env` comes before the environment."""
    place.service.reset_log()
    done = place.run(
        *("-m", "tap_campusgroups", "--config", "ENV", "--test"),
        TAP_CAMPUSGROUPS_API_URL="http://127.0.0.1:9",
        NO_PROXY="127.0.0.1",
    )
    assert place.service.requests, done.stderr


def test_workspace_with_env_file_is_refused(tmp_path: Path) -> None:
    folder = Workspace(tmp_path / "first").folder
    (folder / ".env").touch()
    with postgres() as database, pytest.raises(ForeignDatabaseError, match=r"has a \.env"):
        Workspace(tmp_path / "second", database=database, folder=folder)


def test_workspace_with_another_database_is_refused(tmp_path: Path) -> None:
    """`env:` of a meltano.yml comes before the environment."""
    folder = Workspace(tmp_path / "first").folder
    project = yaml.safe_load((folder / "meltano.yml").read_text(encoding="utf-8"))
    project["env"]["TARGET_POSTGRES_SQLALCHEMY_URL"] = "postgresql+psycopg:///of_the_user"
    (folder / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")
    with postgres() as database, pytest.raises(ForeignDatabaseError) as error:
        Workspace(tmp_path / "second", database=database, folder=folder)
    assert str(error.value) == "target-postgres is not configured for the database of this run"


# One way to start them

STARTER = PROJECT / "tests" / "support" / "pipeline.py"
SOURCES = [
    path
    for folder in ("examples", "scripts", "tests")
    for path in sorted((PROJECT / folder).rglob("*.py"))
]
PROGRAM = re.compile(r"(?:.*/)?(?:meltano|dagster|dbt)")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_meltano_dagster_and_dbt_are_started_by_a_workspace_only(path: Path) -> None:
    """Whoever starts them needs their names, or the path of an installed plugin."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [
        f"{node.lineno}: {node.value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        if isinstance(node.value, str)
        if PROGRAM.fullmatch(node.value)
    ]
    found += [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        if ast.unparse(node.func).split(".")[-1] == "plugin"
        if ast.unparse(node.args[0]) != "'target-jsonl'"
    ]
    assert bool(found) == (path == STARTER), found


def test_make_installs_plugins_without_the_user_s_settings_of_meltano() -> None:
    lines = (PROJECT / "Makefile").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if "$(BIN)/meltano " in line]
    for word in ("--env-file=/dev/null", "$(MELTANO_OF_THIS_FOLDER)"):
        assert word in line
    (variables,) = [line for line in lines if line.startswith("MELTANO_OF_THIS_FOLDER")]
    for name in ("DATABASE_URI", "PROJECT_ROOT", "SYS_DIR_ROOT"):
        assert f"MELTANO_{name}=" in variables


def test_libpq_s_variables_are_back_after_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "9")
    with postgres() as database, database.connect():
        assert "PGHOSTADDR" not in os.environ
    assert os.environ["PGHOSTADDR"] == "127.0.0.1"
