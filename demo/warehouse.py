"""What arrived in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from psycopg import Connection

SCHEMA: Final = "campusgroups"
"""The loader's `default_target_schema` in `meltano.yml`."""

BUSIEST_EVENTS: Final = resources.files(__package__).joinpath("busiest_events.sql").read_bytes()
"""A query: the events with the most check-ins."""

_COUNTS: Final = sql.SQL(
    "SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE _sdc_batched_at >= %s),"
    ' max("updatedOn") FROM {}'
)


@dataclass(frozen=True)
class Counts:
    """What a table holds.

    Attributes:
        rows: Its rows.
        ids: Its different ids.
        since: Rows that were loaded since the given moment.
        newest: The newest `updatedOn`, in UTC.
    """

    rows: int
    ids: int
    since: int
    newest: datetime | None

    def are_each_once(self, rows: int) -> bool:
        """Tell whether so many rows of the service are there, and none of them twice."""
        return self.rows == self.ids == rows


def count(
    connection: Connection[tuple[Any, ...]], streams: Iterable[str], *, since: datetime
) -> dict[str, Counts]:
    """Count the rows of every stream's table.

    Args:
        connection: To the database.
        streams: The streams.
        since: See `Counts`.
    """
    # The loader's columns have no time zone; they hold UTC.
    moment = since.replace(tzinfo=None)
    counts = {}
    for stream in streams:
        query = _COUNTS.format(sql.Identifier(SCHEMA, stream))
        (found,) = connection.execute(query, [moment]).fetchall()
        counts[stream] = Counts(*found)
    return counts
