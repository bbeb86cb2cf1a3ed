"""Ways in which the service may differ from what the tap assumes, by the name of the assumption.

    DIFFERENCES["page size"](simulator)

Each changes a simulator for the rest of its life: its answers, or the rows of its dataset.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from .faults import FaultType
from .queries import Page
from .request_context import PAGES
from .responses import QUEUED, RUNNING, CompleteResponse, json_response, message_response
from .timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from .dataset import Row
    from .request_context import RequestContext
    from .responses import Response
    from .simulator import Simulator

    Change = Callable[[RequestContext, CompleteResponse], CompleteResponse]
    Difference = Callable[[Simulator], None]

DIFFERENCES: Final[dict[str, Difference]] = {}

REFUSED: Final = message_response(HTTPStatus.BAD_REQUEST, "Bad request")
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class Differences(FaultType):
    """Changes of the regular response, one after the other.

    Attributes:
        changes: Each with its phase; "page" is any page, None any response.
    """

    changes: list[tuple[str | None, Change]] = field(default_factory=list)

    @override
    def respond(self, context: RequestContext) -> Response:
        response = context.execute()
        for phase, change in self.changes:
            if phase in {None, context.phase} or (phase == "page" and context.phase in PAGES):
                response = change(context, response)
        return response


def _differs(name: str) -> Callable[[Difference], Difference]:
    def register(difference: Difference) -> Difference:
        DIFFERENCES[name] = difference
        return difference

    return register


def _answers(name: str, phase: str | None) -> Callable[[Change], Change]:
    """Register a change of the responses in a phase of `Differences`."""

    def register(change: Change) -> Change:
        DIFFERENCES[name] = lambda simulator: _inject(simulator, change, phase)
        return change

    return register


def _inject(simulator: Simulator, change: Change, phase: str | None = None) -> None:
    types = [fault.type for fault in simulator.faults]
    found = next((one for one in types if isinstance(one, Differences)), None)
    if found is None:
        simulator.inject((found := Differences()).on(times=None))
    found.changes.append((phase, change))


def _has_rows(name: str) -> Callable[[Callable[[list[Row]], None]], Callable[[list[Row]], None]]:
    """Register a change of the rows of every stream."""

    def register(change: Callable[[list[Row]], None]) -> Callable[[list[Row]], None]:
        def difference(simulator: Simulator) -> None:
            for stream in simulator.dataset.streams:
                if rows := simulator.dataset[stream]:
                    change(rows)

        DIFFERENCES[name] = difference
        return change

    return register


def _body(response: CompleteResponse) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.body)
    return body


# Statuses and shapes


@_answers("submit", "submit")
def _other_key(_: RequestContext, response: CompleteResponse) -> CompleteResponse:
    return json_response(HTTPStatus.CREATED, {"query_id": _body(response)["queryId"]})


@_differs("states")
def _running_before_queued(simulator: Simulator) -> None:
    simulator.timing.queued_polls = simulator.timing.running_polls = 1
    _inject(
        simulator,
        lambda _, response: RUNNING if response.status == HTTPStatus.CREATED else QUEUED,
        "poll",
    )


@_differs("wait bodies")
def _state_in_body(simulator: Simulator) -> None:
    simulator.timing.running_polls = 1
    _inject(simulator, lambda _, one: json_response(one.status, {"state": "RUNNING"}), "poll")


@_answers("page keys", "page")
def _another_key(_: RequestContext, response: CompleteResponse) -> CompleteResponse:
    return json_response(HTTPStatus.OK, {**_body(response), "Total": 7})


def _accept_refused(name: str, message: bytes, answer: CompleteResponse) -> None:
    def change(_: RequestContext, response: CompleteResponse) -> CompleteResponse:
        return answer if message in response.body else response

    _answers(name, "refused")(change)


_NO_ROWS: Final = json_response(HTTPStatus.OK, {"Results": []})
_accept_refused("unknown queryId", b"queryId is not valid", _NO_ROWS)
_accept_refused("wrong token", b"token is not valid", _NO_ROWS)
_accept_refused("wrong secret", b"Error validating API key", _NO_ROWS)
_accept_refused(
    "bad date", b"Error Parsing Start Date", json_response(HTTPStatus.OK, {"queryId": "a"})
)
_accept_refused(
    "oversized page",
    b"size must be",
    json_response(HTTPStatus.OK, {"Results": 1000 * [{"id": 1, "updatedOn": "2025-01-31"}]}),
)


@_answers("empty token", "first_page")
def _refuse_empty_token(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
    return REFUSED if "token" in context.parameters else response


def _header(assumption: str, name: str, value: str) -> None:
    def change(_: RequestContext, response: CompleteResponse) -> CompleteResponse:
        return replace(response, headers={**response.headers, name: value})

    _answers(assumption, None)(change)


_header("content type", "Content-Type", "text/plain")
_header("compression", "Content-Encoding", "unusual")
_header("keep-alive", "Connection", "close")
_header("rate limit", "X-RateLimit-Remaining", "10")


# Pages


@_answers("page size", "first_page")
def _short_first_page(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
    if context.size <= 1:
        return response
    context.size -= 1
    return context.page().response()


@_answers("default size", "first_page")
def _small_default(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
    if "size" in context.parameters:
        return response
    context.size = 10
    return context.page().response()


@_answers("last page", "page")
def _token_after_full_page(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
    page, query = context.page(), context.existing_query
    if page.next_token or len(page.rows) < context.size:
        return response
    return Page(page.rows, query.issue_token(len(query.rows), 0)).response()


@_answers("pages differ", "later_page")
def _repeated_row(context: RequestContext, _: CompleteResponse) -> CompleteResponse:
    page = context.page()
    return Page((context.existing_query.rows[0], *page.rows[1:]), page.next_token).response()


@_differs("page again")
def _pages_shuffled(simulator: Simulator) -> None:
    asked: list[str] = []

    def change(context: RequestContext, _: CompleteResponse) -> CompleteResponse:
        page = context.page()
        asked.append(context.existing_query.id)
        turn = len(asked) % max(1, len(page.rows))
        return Page((*page.rows[turn:], *page.rows[:turn]), page.next_token).response()

    _inject(simulator, change, "first_page")


@_differs("token again")
def _tokens_for_one_use(simulator: Simulator) -> None:
    used: set[str | None] = set()

    def change(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
        is_used = context.token in used
        used.add(context.token)
        return REFUSED if is_used else response

    _inject(simulator, change, "later_page")


@_differs("queries in turn")
def _one_query_at_a_time(simulator: Simulator) -> None:
    current = [""]

    def change(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
        if context.phase == "first_page":
            current[0] = context.existing_query.id
        return response if current[0] == context.existing_query.id else REFUSED

    _inject(simulator, change, "page")


@_differs("lifetime")
def _short_lifetime(simulator: Simulator) -> None:
    def change(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
        age = simulator.clock() - context.existing_query.submitted
        return response if age < 240 else REFUSED

    _inject(simulator, change, "page")


# Ranges


def _selects(
    name: str, other: Callable[[RequestContext, datetime, datetime], tuple[datetime, datetime]]
) -> None:
    """Register a service that reads another range than the one that was asked for."""

    def difference(simulator: Simulator) -> None:
        def change(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
            if context.window and context.query and context.stream:
                start, end = other(context, *context.window)
                rows = simulator.dataset.select(context.stream, start, end)
                context.query.rows = [row for _, row in rows]
            return response

        _inject(simulator, change, "submit")

    DIFFERENCES[name] = difference


def _ignore_offset(
    context: RequestContext, _: datetime, end: datetime
) -> tuple[datetime, datetime]:
    start = datetime.fromisoformat(context.parameters["updatedStart"])
    return start.replace(tzinfo=UTC), end


_selects("bounds", lambda _, start, end: (start + _MICROSECOND, end - _MICROSECOND))
_selects(
    "precision",
    lambda _, start, end: (
        start.replace(microsecond=0),
        end.replace(microsecond=0) + timedelta(seconds=1) - _MICROSECOND,
    ),
)
_selects("filter", lambda _, start, end: (start - timedelta(days=3), end))
_selects("offset", _ignore_offset)


@_differs("range again")
def _fewer_rows_each_time(simulator: Simulator) -> None:
    asked: list[object] = []

    def change(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
        if context.query:
            context.query.rows = context.query.rows[asked.count(context.window) :]
            asked.append(context.window)
        return response

    _inject(simulator, change, "submit")


@_differs("order")
def _sorted(simulator: Simulator) -> None:
    def change(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
        if context.query:
            context.query.rows = sorted(
                context.query.rows,
                key=lambda row: str(parse_timestamp(json.loads(row)["updatedOn"])),
            )
        return response

    _inject(simulator, change, "submit")


def _refuses(name: str, is_refused: Callable[[RequestContext], bool]) -> None:
    def change(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
        return REFUSED if is_refused(context) else response

    _answers(name, "submit")(change)


_refuses("date", lambda context: "T" not in context.parameters["updatedStart"])
_refuses("start in 1900", lambda context: context.parameters["updatedStart"].startswith("19"))
_refuses(
    "end in the future",
    lambda context: bool(context.window and context.window[1] > datetime.now(UTC)),
)


# Time


@_differs("clock")
def _clock_ahead(simulator: Simulator) -> None:
    simulator.set_now(lambda: datetime.now(UTC) + timedelta(hours=1))


@_has_rows("lag")
def _old_rows(rows: list[Row]) -> None:
    oldest = datetime.now(UTC) - timedelta(hours=72)
    rows[:] = [row for row in rows if (parse_timestamp(row["updatedOn"]) or oldest) < oldest]


@_has_rows("no future rows")
def _future_row(rows: list[Row]) -> None:
    rows[0]["updatedOn"] = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@_answers("duration", "submit")
def _slow_export(context: RequestContext, response: CompleteResponse) -> CompleteResponse:
    if context.query and context.window:
        start, end = context.window
        is_long = end - start > timedelta(days=300)
        context.query.running_polls = 1_000_000 if is_long else 0
    return response


# Rows


@_has_rows("JSON types")
def _boolean_text(rows: list[Row]) -> None:
    rows[0]["deleted"] = "true"


@_has_rows("convertible")
def _word_as_number(rows: list[Row]) -> None:
    rows[0]["eventId"] = rows[0]["capacity"] = "many"


@_has_rows("date forms")
def _without_offset(rows: list[Row]) -> None:
    rows[0]["createdOn"] = "2025-05-01 08:00:00.000"


@_has_rows("all fields")
def _without_field(rows: list[Row]) -> None:
    rows[0].pop("createdOn", None)


@_has_rows("no other fields")
def _new_field(rows: list[Row]) -> None:
    rows[0]["shoeSize"] = 42


@_has_rows("ids")
def _id_as_text(rows: list[Row]) -> None:
    rows[0]["id"] = str(rows[0]["id"])


@_has_rows("unique ids")
def _two_versions(rows: list[Row]) -> None:
    earlier = (parse_timestamp(rows[0]["updatedOn"]) or datetime.now(UTC)) - timedelta(hours=5)
    rows.append({**rows[0], "updatedOn": earlier.isoformat()})


@_answers("updatedOn", "page")
def _without_updated_on(_: RequestContext, response: CompleteResponse) -> CompleteResponse:
    body = _body(response)
    for row in body["Results"][:1]:
        row["updatedOn"] = None
    return json_response(HTTPStatus.OK, body)


@_has_rows("deleted")
def _other_flag(rows: list[Row]) -> None:
    rows[0]["deleted"] = "N"
