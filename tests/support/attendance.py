"""Expected results of the attendance models, counted in Python from the rows of the service."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.simulator import Row

Figures: TypeAlias = dict[Any, tuple[Any, ...]]

GOING = "yes"
"""The only answer in the variable `going_answers`."""


def by_event(source: Mapping[str, Sequence[Row]]) -> Figures:
    """Return week, RSVPs, going, check-ins, attendees and show-up rate by event.

    Args:
        source: Rows of the service, one per id, with values as in the columns.
    """
    answers = source["rsvp"]
    rsvps = Counter(row["eventId"] for row in answers)
    going = Counter(
        row["eventId"] for row in answers if (row["rsvp"] or "").strip().lower() == GOING
    )
    present = [row for row in source["checkins"] if row["deleted"] is not True]
    checkins = Counter(row["eventId"] for row in present)
    attendees = Counter(event for event, user in _pairs(present) if user is not None)
    return {
        key: (
            monday(row["startDate"]),
            rsvps[key],
            going[key],
            checkins[key],
            attendees[key],
            _rate(attendees[key], going[key]) if checkins[key] else None,
        )
        for row in source["events"]
        if not any(row[flag] for flag in ("deleted", "draft", "template"))
        for key in (row["id"],)
    }


def monday(text: str | None) -> date | None:
    """Return the Monday of a timestamp's week."""
    if text is None:
        return None
    start = datetime.fromisoformat(text)
    # Timestamps with an offset are loaded in UTC, local times as they are.
    day = (start if start.tzinfo is None else start.astimezone(UTC)).date()
    return day - timedelta(days=day.weekday())


def _pairs(checkins: Iterable[Row]) -> set[tuple[Any, Any]]:
    return {(row["eventId"], row["checkedinUserId"]) for row in checkins}


def _rate(attendees: int, going: int) -> Decimal | None:
    if not going:
        return None
    return (Decimal(attendees) / going).quantize(Decimal("0.001"), ROUND_HALF_UP)
