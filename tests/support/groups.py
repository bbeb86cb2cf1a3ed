"""Expected results of the models of members and budgets, counted from the rows of the service."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

from tests.support import attendance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.simulator import Row


def membership_by_week(source: Mapping[str, Sequence[Row]]) -> set[tuple[Any, ...]]:
    """Return week, group, members, new members and active members.

    Args:
        source: Rows of the service, one per id, with values as in the columns.
    """
    week_of = {event: week for event, (week, *_) in attendance.by_event(source).items()}
    group_of = {row["id"]: row["groupId"] for row in source["events"]}
    checkins, members = (_not_deleted(source[stream]) for stream in ("checkins", "members"))
    attended = {
        (week_of[event], group_of[event], row["checkedinUserId"])
        for row in checkins
        if (event := row["eventId"]) in week_of and group_of[event] is not None
    }
    newest = max(_utc(row["updatedOn"]) for row in (*members, *checkins))
    found = set()
    memberships = [
        (row["groupId"], row["userId"], first, attendance.monday(row["membershipEndDate"]))
        for row in members
        if row["member"] == 1 and row["validated"] is not False
        if (first := attendance.monday(row["createdOn"])) is not None
    ]
    for week in _mondays(min(first for *_, first, _ in memberships), newest.date()):
        users: dict[Any, set[Any]] = {}
        joined: dict[Any, set[Any]] = {}
        for group, user, first, last in memberships:
            if first <= week <= (last or week):
                users.setdefault(group, set()).add(user)
                if first == week:
                    joined.setdefault(group, set()).add(user)
        for group, present in users.items():
            active = {user for user in present if (week, group, user) in attended}
            counts = (len(every - {None}) for every in (present, joined.get(group, set()), active))
            found.add((week, group, *counts))
    return found


def spending_by_budget(source: Mapping[str, Sequence[Row]]) -> attendance.Figures:
    """Return planned, spent, remaining, group funds, events, attendees and spent per attendee.

    Args:
        source: Rows of the service, one per id, with values as in the columns.
    """
    with localcontext(Context(prec=60)):
        return {row["id"]: _spending(row, source) for row in _not_deleted(source["budgets"])}


def _spending(budget: Row, source: Mapping[str, Sequence[Row]]) -> tuple[Any, ...]:
    events = attendance.by_event(source)
    transactions = [
        row
        for row in _not_deleted(source["budget_transactions"])
        if row["budgetId"] == budget["id"]
    ]
    groups = {row["groupId"] for row in transactions} - {None}
    attendees = [
        events[row["id"]][4]
        for row in source["events"]
        if row["id"] in events and row["groupId"] in groups and _is_within(row, budget)
    ]
    spent = _total(row["amountFromAllocation"] for row in transactions)
    planned = _total([budget["totalAllocation"]])
    return (
        planned,
        spent or 0,
        None if planned is None else planned - (spent or 0),
        _total(row["amountFromGroupFunds"] for row in transactions) or 0,
        len(attendees),
        sum(attendees),
        _ratio(spent, sum(attendees)),
    )


def _not_deleted(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["deleted"] is not True]


def _utc(text: str) -> datetime:
    timestamp = datetime.fromisoformat(text)
    return timestamp.replace(tzinfo=timestamp.tzinfo or UTC).astimezone(UTC)


def _mondays(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=7)


def _is_within(event: Row, budget: Row) -> bool:
    """Return whether an event starts in the period of a budget."""
    if None in {event["startDate"], budget["startDate"], budget["endDate"]}:
        return False
    start, end = (date.fromisoformat(budget[name]) for name in ("startDate", "endDate"))
    return start <= _utc(event["startDate"]).date() <= end


def _total(amounts: Iterable[Any]) -> Decimal | None:
    known = [Decimal(str(amount)) for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def _ratio(spent: Decimal | None, attendees: int) -> Decimal | None:
    if spent is None or not attendees:
        return None
    return (spent / attendees).quantize(Decimal("0.01"), ROUND_HALF_UP)
