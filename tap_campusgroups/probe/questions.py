"""The questions that a probe asks, in their order: what each sends, and what it adds.

Questions that depend on rows are left out if the earlier ones found none.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

from tap_campusgroups.config import EARLIEST
from tap_campusgroups.exports.window import DIVIDED_FROM, format_bound
from tap_campusgroups.probe.client import Export
from tap_campusgroups.records.values import format_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from tap_campusgroups.probe.client import Exchange, ProbeClient, RowKey

DEFAULT_STREAMS: t.Final = ("events", "checkins", "rsvp", "members")
OVERSIZED: t.Final = 1000
MAX_PAGES: t.Final = 6
_DAY: t.Final = timedelta(days=1)
_HOUR: t.Final = timedelta(hours=1)
_SECOND: t.Final = timedelta(seconds=1)
_WRONG: t.Final = "a-wrong-secret-of-the-probe"
_OFFSET: t.Final = timezone(timedelta(hours=5, minutes=30))


@dataclass
class Plan:
    """The choices of a probe.

    Attributes:
        streams: The first is asked all questions, the others only for rows.
        rest: Seconds before the last questions.
        now: The end of all ranges.
    """

    streams: tuple[str, ...]
    rest: float
    tries_wrong_secret: bool
    now: datetime
    pages: list[Exchange] = field(default_factory=list)  # of `base`, in small pages

    @property
    def main(self) -> str:
        """The stream that is asked all questions."""
        return self.streams[0]

    def days(self, count: int) -> datetime:
        """Return the midnight that is at least some days before the end."""
        return (self.now - count * _DAY).replace(hour=0, minute=0, second=0, microsecond=0)

    def export(
        self,
        name: str,
        start: datetime | str,
        end: datetime | str | None = None,
        *,
        stream: str | None = None,
        is_surveyed: bool = False,
    ) -> Export:
        """Return an export; without an end, one up to the end of all ranges."""
        first, last = (
            bound if isinstance(bound, str) else format_bound(bound)
            for bound in (start, end or self.now)
        )
        return Export(name, stream or self.main, first, last, is_surveyed=is_surveyed)


class Question(t.NamedTuple):
    """One step of a probe; `requests` is without further polls."""

    text: str
    requests: int
    ask: Callable[[ProbeClient, Plan], None]


def base_of(client: ProbeClient) -> Export | None:
    """Return the export that questions about pages and ranges use: rows on one page, and many."""
    ready = [one for name in ("day", "month", "year") if (one := client.exports.get(name))]
    ready = [one for one in ready if one.page and len(one.page.rows) > 1]
    return max(ready, key=lambda one: (one.is_complete, len(one.ids())), default=None)


def other_of(client: ProbeClient, base: Export) -> Export | None:
    """Return another export with rows, for pages of two queries in turn."""
    ready = (client.exports.get(name) for name in ("year", "month", "day", "month again"))
    return next((one for one in ready if one and one is not base and len(one.ids()) > 1), None)


def small_size(export: Export) -> str:
    """Return a page size with which the rows of the first page take three to six pages."""
    return str(max(1, len(export.page.rows) // 3) if export.page else 1)


def _durations(client: ProbeClient, plan: Plan) -> None:
    client.run(
        plan.export("month", plan.days(30), is_surveyed=True),
        plan.export("day", plan.days(1)),
        plan.export("year", plan.days(365)),
    )


def _bounds(client: ProbeClient, plan: Plan) -> None:
    start = plan.days(30)
    client.run(
        plan.export("month again", start),
        plan.export("date without time", f"{start:%Y-%m-%d}"),
        plan.export("from 1900", EARLIEST, DIVIDED_FROM),
        plan.export("future end", plan.days(1), plan.now + 365 * _DAY),
    )


def _pages(client: ProbeClient, plan: Plan) -> None:
    if not (base := base_of(client)):
        return
    size, params = small_size(base), dict[str, str]()
    for number in range(1, MAX_PAGES + 1):
        page = client.ask(f"page {number}", base, size=size, **params)
        if not page.is_page:
            return
        plan.pages.append(page)
        if page.parsed.token is None:
            return
        params = {"token": page.parsed.token}


def _pages_again(client: ProbeClient, plan: Plan) -> None:
    base = base_of(client)
    if not base or not plan.pages or not (token := plan.pages[0].parsed.token):
        return
    size = small_size(base)
    client.ask("page 1 again", base, size=size)
    client.ask("page 2 again", base, size=size, token=token)
    if (other := other_of(client, base)) is None:
        return
    other_size = small_size(other)
    first = client.ask("page 1 of another query", other, size=other_size)
    if other_token := first.parsed.token:
        client.ask("page 2 of another query", other, size=other_size, token=other_token)
    if len(plan.pages) > 2 and (token := plan.pages[1].parsed.token):  # noqa: PLR2004 - page 3
        client.ask("page 3 after another query", base, size=size, token=token)


def _sizes(client: ProbeClient, plan: Plan) -> None:
    largest = max(
        (one for one in client.exports.values() if one.page and one.stream == plan.main),
        key=lambda one: len(one.page.rows) if one.page else 0,
        default=None,
    )
    if largest is None:
        return
    client.ask("without size", largest)
    client.ask("oversized", largest, size=str(OVERSIZED))
    base = base_of(client)
    if base and base.page and base.is_complete:
        size = str(len(base.page.rows))
        if token := client.ask("full last page", base, size=size).parsed.token:
            client.ask("after full last page", base, size=size, token=token)


def _mistakes(client: ProbeClient, plan: Plan) -> None:
    client.run(plan.export("bad date", "not-a-date"))
    client.ask("unknown queryId", plan.export("unknown", plan.now), queryId=str(uuid4()))
    ready = [one for one in client.exports.values() if one.page and one.stream == plan.main]
    if base := base_of(client) or next(iter(ready), None):
        client.ask("wrong token", base, token="not-a-token")  # noqa: S106 - on purpose
        client.ask("empty token", base, size=small_size(base), token="")
        if plan.tries_wrong_secret:
            client.ask("wrong secret", base, secret=_WRONG)


def known_row(client: ProbeClient, *, has_fraction: bool) -> RowKey | None:
    """Return a row whose `updatedOn` has a fraction of a second, or has none."""
    base = base_of(client)
    return next(
        (
            row
            for row in (base.page.rows if base and base.page else ())
            if row.updated_at and bool(row.updated_at.microsecond) == has_fraction
        ),
        None,
    )


def _instants(client: ProbeClient, plan: Plan) -> None:
    whole, fraction = (known_row(client, has_fraction=has) for has in (False, True))
    if (row := whole or fraction) and (at := row.updated_at):
        exact = format_timestamp(at, "milliseconds" if at.microsecond else "seconds")
        if at.microsecond % 1000:
            exact = format_timestamp(at)
        hour = [
            (at + hours * _HOUR).astimezone(_OFFSET).replace(microsecond=0) for hours in (-1, 1)
        ]
        client.run(
            plan.export("one updatedOn", exact, exact),
            plan.export("offset", *(bound.isoformat() for bound in hour)),
        )
        if row.id not in client.exports["one updatedOn"].ids():
            second = at.replace(microsecond=0)
            client.run(
                plan.export("from one updatedOn", exact, format_bound(second + _SECOND)),
                plan.export("up to one updatedOn", format_bound(second - _SECOND), exact),
            )
    if fraction and (at := fraction.updated_at):
        client.run(plan.export("one second", at, at))


def _streams(client: ProbeClient, plan: Plan) -> None:
    client.run(
        *(
            plan.export(f"rows of {stream}", plan.days(30), stream=stream, is_surveyed=True)
            for stream in plan.streams[1:]
        )
    )


def _rest(client: ProbeClient, plan: Plan) -> None:
    if not plan.rest:
        return
    client.rest(plan.rest)
    if base := base_of(client):
        client.ask("queryId later", base, size=small_size(base))
        if plan.pages and (token := plan.pages[0].parsed.token):
            client.ask("token later", base, size=small_size(base), token=token)
    surveys = [one for one in client.surveys.values() if one.newest]
    if busiest := max(surveys, key=lambda one: str(one.newest), default=None):
        end = datetime.now(UTC)
        client.run(plan.export("newest later", plan.days(3), end, stream=busiest.stream))


def questions(plan: Plan) -> list[Question]:
    """Return the questions of a plan."""
    main, others = plan.main, plan.streams[1:]
    found = [
        Question(f"{main}: exports of a month, a day and a year", 6, _durations),
        Question(
            f"{main}: the month again, and from a date without time; from 1900 to 2000; up to next "
            "year",
            8,
            _bounds,
        ),
        Question(f"{main}: a first page and its successors, in small pages", MAX_PAGES, _pages),
        Question(f"{main}: pages again, and pages of two queries in turn", 5, _pages_again),
        Question(f"{main}: pages without size, of {OVERSIZED}, and of exactly all rows", 4, _sizes),
        Question(
            f"{main}: a bad date, an unknown queryId, a wrong token, an empty token"
            + ", a wrong secret" * plan.tries_wrong_secret,
            4 + plan.tries_wrong_secret,
            _mistakes,
        ),
        Question(
            f"{main}: the range of one updatedOn, of its hours with an offset, and of its second",
            10,
            _instants,
        ),
    ]
    if others:
        text = f"{', '.join(others)}: rows of a month"
        found.append(Question(text, 2 * len(others), _streams))
    if plan.rest:
        text = f"after {plan.rest / 60:g} minutes: a queryId, a token, the newest rows"
        found.append(Question(text, 4, _rest))
    return found
