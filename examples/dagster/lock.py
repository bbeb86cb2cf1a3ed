"""A lock that admits one run of a group at a time, on any machine."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

from examples.dagster.errors import StepFailedError, StepRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE: Final = "MELTANO_DATABASE_URI"
"""Environment variable with the URL of Meltano's system database."""

_SCHEME: Final = re.compile(r"^postgresql(\+\w+)?://")


@contextmanager
def lock(name: str, patience: float = 0) -> Iterator[int]:
    """Hold a lock in Meltano's system database.

    PostgreSQL releases the lock when the connection ends. A child process that inherits the
    connection's file descriptor keeps the connection open: the lock is held until parent and child
    have ended, however they end.

    Args:
        name: Name of the lock.
        patience: For how many seconds to wait if the lock is held elsewhere.

    Yields:
        The file descriptor of the connection.

    Raises:
        StepRefusedError: If the lock is held elsewhere, or the database is not set up.
        StepFailedError: If the connection fails, also while the lock is held.
    """
    conninfo = _conninfo()
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            _acquire(connection, name, patience)
            try:
                yield connection.fileno()
            finally:
                # Closing the connection releases the lock too, but only after a moment.
                connection.execute("SELECT pg_advisory_unlock_all()")
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        message = f"Connection to Meltano's system database failed: {reason}"
        raise StepFailedError(message) from None


def _conninfo() -> str:
    """Return the URL of the system database in libpq's form, with TCP keepalives."""
    url = os.environ.get(VARIABLE, "")
    if _SCHEME.match(url):
        try:
            return make_conninfo(
                _SCHEME.sub("postgresql://", url),
                connect_timeout=30,
                keepalives_idle=60,
                keepalives_interval=10,
                keepalives_count=3,
            )
        except psycopg.ProgrammingError:
            pass  # without its message, which may hold the password
    message = (
        f"{VARIABLE} is not the URL of a PostgreSQL database."
        " Set it to one that all machines share: postgresql+psycopg://user:password@host/database."
    )
    raise StepRefusedError(message)


def _acquire(connection: psycopg.Connection[tuple[Any, ...]], name: str, patience: float) -> None:
    # Otherwise the server would hold the lock of a machine that was cut off for hours.
    connection.execute(
        "SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10;"
        " SET tcp_keepalives_count = 3"
    )
    # Steps must not create the tables: two that do so at the same time fail.
    (has_tables,) = connection.execute(
        "SELECT to_regclass('alembic_version') IS NOT NULL"
    ).fetchone() or (False,)
    if not has_tables:
        message = "Meltano's system database has no tables. Run `meltano upgrade database` once."
        raise StepRefusedError(message)
    # A timeout of 0 would mean to wait without end.
    connection.execute(f"SET lock_timeout = {max(1, round(patience * 1000))}")
    try:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
    except psycopg.errors.LockNotAvailable:
        message = f"Another run of {name} is in progress. Run it again when that one has ended."
        raise StepRefusedError(message) from None
