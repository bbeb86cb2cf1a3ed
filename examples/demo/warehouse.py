"""Queries on the demo's PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime
    from decimal import Decimal

    from psycopg import Connection

SCHEMA: Final = "campusgroups"
"""The loader's `default_target_schema` in `meltano.yml`."""

BUSIEST_EVENTS: Final = resources.files(__package__).joinpath("busiest_events.sql").read_bytes()
"""Query for the events with the most attendees."""

_ATTENDANCE: Final = "SELECT week, going, attendees, show_up_rate FROM analytics.attendance_by_week"

_BUDGETS: Final = (
    "SELECT budget_name, planned, spent, remaining, spent_per_attendee"
    " FROM analytics.spending_by_budget ORDER BY spent DESC, budget_id LIMIT %s"
)

_COUNTS: Final = sql.SQL(
    "SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE _sdc_batched_at >= %s),"
    ' max("updatedOn") FROM {}'
)


@dataclass(frozen=True)
class TableCounts:
    """Row counts of a table.

    Attributes:
        ids: Distinct ids.
        since: Rows loaded since a given time.
        newest: Newest `updatedOn`, in UTC.
    """

    rows: int
    ids: int
    since: int
    newest: datetime | None

    def matches(self, rows: int) -> bool:
        """Return whether the table holds this number of rows without duplicates."""
        return self.rows == self.ids == rows


@dataclass(frozen=True)
class Week:
    """Attendance in a week.

    Attributes:
        going: RSVPs that say yes.
        rate: Attendees per RSVP that says yes.
    """

    monday: date
    going: int
    attendees: int
    rate: Decimal | None


@dataclass(frozen=True)
class Budget:
    """Use of a budget.

    Attributes:
        per_attendee: Spending per attendee of the group's events.
    """

    name: str
    planned: Decimal
    spent: Decimal
    remaining: Decimal
    per_attendee: Decimal | None


def attendance(connection: Connection[tuple[Any, ...]], *, before: date, weeks: int) -> list[Week]:
    """Return the weeks before the week of a date; a week without events has zeros."""
    found = {monday: counts for monday, *counts in connection.execute(_ATTENDANCE)}
    end = before - timedelta(days=before.weekday())
    mondays = [end - timedelta(weeks=ago) for ago in range(weeks, 0, -1)]
    return [Week(monday, *found.get(monday, (0, 0, None))) for monday in mondays]


def largest_budgets(connection: Connection[tuple[Any, ...]], *, limit: int) -> list[Budget]:
    """Return the budgets with the highest spending."""
    return [Budget(*row) for row in connection.execute(_BUDGETS, [limit])]


def count_rows(
    connection: Connection[tuple[Any, ...]], streams: Iterable[str], *, since: datetime
) -> dict[str, TableCounts]:
    """Count the rows of every stream's table."""
    # The loader's timestamp columns have no time zone and hold UTC.
    loaded_since = since.replace(tzinfo=None)
    counts = {}
    for stream in streams:
        query = _COUNTS.format(sql.Identifier(SCHEMA, stream))
        (found,) = connection.execute(query, [loaded_since]).fetchall()
        counts[stream] = TableCounts(*found)
    return counts
