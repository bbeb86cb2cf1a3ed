"""What arrived in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from psycopg import Connection

SCHEMA: Final = "campusgroups"
"""The loader's `default_target_schema` in `meltano.yml`."""

BUSIEST_EVENTS: Final = resources.files(__package__).joinpath("busiest_events.sql").read_bytes()
"""A query on a model of `transform`: the events with the most attendees."""

_ATTENDANCE: Final = "SELECT week, going, attendees FROM analytics.attendance_by_week"

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


@dataclass(frozen=True)
class Week:
    """A week's events.

    Attributes:
        monday: Its first day.
        going: RSVPs of those who mean to come.
        attendees: Who came.
    """

    monday: date
    going: int
    attendees: int


def attendance(connection: Connection[tuple[Any, ...]], *, until: date, weeks: int) -> list[Week]:
    """Read the model of attendance over time; a week without events is there, too.

    Args:
        connection: To the database, in which the models are.
        until: A day of the newest week.
        weeks: How many weeks to read.
    """
    found = {monday: counts for monday, *counts in connection.execute(_ATTENDANCE)}
    newest = until - timedelta(days=until.weekday())
    mondays = [newest - timedelta(weeks=ago) for ago in reversed(range(weeks))]
    return [Week(monday, *found.get(monday, (0, 0))) for monday in mondays]


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
