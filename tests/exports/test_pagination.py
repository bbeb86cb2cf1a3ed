"""The steps of an export: submit, poll, follow tokens; and how it ends."""

from __future__ import annotations

from itertools import cycle, islice, permutations
from random import Random

import pytest

from tap_campusgroups.exports.pagination import (
    MAX_EMPTY_PAGES,
    MAX_REPEATED_ROWS,
    ExportEnded,
    ExportPaginator,
    Fetch,
    Submit,
)
from tap_campusgroups.exports.response import WAITING, ParsedResponse, ResponseKind
from tests.support.exports import WINDOW, parsed
from tests.support.response_table import RESPONSES_TO_GET, RESPONSES_TO_POST

ACCEPTED = parsed(200, {"queryId": "q1"}, "POST")


def advance(paginator: ExportPaginator, response: ParsedResponse) -> None:
    """Advance by a response, which the SDK's paginator expects to be one of `requests`."""
    paginator.advance(response)  # type: ignore[arg-type]


def test_steps_of_export_are_submit_polls_and_pages() -> None:
    paginator = ExportPaginator(WINDOW)
    steps: list[object] = [paginator.current_value]
    for response in (
        ACCEPTED,
        parsed(201, {"message": "Query is queued and waiting to be executed"}),
        parsed(202, {"message": "Accepted query and is running"}),
        parsed(200, {"Results": [{"id": 1}], "NextToken": "t1"}),
        parsed(202, b""),
        parsed(200, {"Results": [], "nextToken": "t2"}),
        parsed(200, {"Results": [{"id": 2}], "NextToken": None}),
    ):
        assert not paginator.finished
        advance(paginator, response)
        steps.append(paginator.current_value)
    assert paginator.finished
    assert steps == [
        Submit(WINDOW),
        Fetch("q1"),
        Fetch("q1", polls=1),
        Fetch("q1", polls=2),
        Fetch("q1", "t1"),
        Fetch("q1", "t1", polls=1),
        Fetch("q1", "t2"),
        Fetch("q1", "t2"),
    ]


def test_export_without_rows_has_one_page() -> None:
    paginator = ExportPaginator(WINDOW)
    advance(paginator, ACCEPTED)
    advance(paginator, parsed(200, {"Results": []}))
    assert paginator.finished


@pytest.mark.parametrize("repeated", ["t1", "t2"])
def test_token_repeated_by_the_service_ends_the_export(repeated: str) -> None:
    paginator = ExportPaginator(WINDOW)
    advance(paginator, ACCEPTED)
    advance(paginator, parsed(200, {"Results": [], "NextToken": "t1"}))
    advance(paginator, parsed(200, {"Results": [], "NextToken": "t2"}))
    with pytest.raises(ExportEnded) as ended:
        advance(paginator, parsed(200, {"Results": [], "NextToken": repeated}))
    assert ended.value.kind is ResponseKind.TOKEN_REPEATED
    assert str(ended.value).startswith("the service returned the same page token twice (HTTP 200, ")


@pytest.mark.parametrize(
    ("method", "status", "body", "kind"),
    [
        (method, status, body, kind)
        for method, table in (("POST", RESPONSES_TO_POST), ("GET", RESPONSES_TO_GET))
        for status, body, kind in table
        if kind not in {ResponseKind.ACCEPTED, ResponseKind.PAGE, *WAITING}
    ],
    ids=repr,
)
def test_response_of_any_other_kind_ends_the_export(
    method: str, status: int, body: bytes | object, kind: ResponseKind
) -> None:
    """Transient failures, too: they are retried before the paginator sees them."""
    paginator = ExportPaginator(WINDOW)
    if method == "GET":
        advance(paginator, ACCEPTED)
    with pytest.raises(ExportEnded) as ended:
        advance(paginator, parsed(status, body, method))
    assert ended.value.kind is kind
    assert str(ended.value).startswith(f"{kind.value} (HTTP {status}, ")
    assert not paginator.finished


def follow(pages: list[list[dict[str, object]]]) -> int:
    """Advance over pages, each with a new token; return how many were taken."""
    paginator = ExportPaginator(WINDOW)
    advance(paginator, ACCEPTED)
    for number, rows in enumerate(pages):
        try:
            advance(paginator, parsed(200, {"Results": rows, "NextToken": f"t{number}"}))
        except ExportEnded as ended:
            assert ended.kind is ResponseKind.ENDLESS  # noqa: PT017 - the number of pages matters, too
            return number
    return len(pages)


def test_too_many_consecutive_empty_pages_end_the_export() -> None:
    assert follow([[]] * 200) == MAX_EMPTY_PAGES - 1 == 99
    almost: list[list[dict[str, object]]] = [[]] * (MAX_EMPTY_PAGES - 1)
    assert follow([*almost, [{"id": 1}], *almost]) == 2 * MAX_EMPTY_PAGES - 1


@pytest.mark.parametrize(("before", "cycle"), [(0, 1), (0, 2), (5, 1), (40, 3), (100, 20)])
@pytest.mark.parametrize("is_shuffled", [False, True])
def test_rows_that_only_repeat_end_the_export_in_any_order(
    before: int, cycle: int, *, is_shuffled: bool
) -> None:
    """Some pages, then pages of the same rows without end: in order, or cut from a random order."""
    random = Random(1)  # noqa: S311 - not used for security
    rows: list[dict[str, object]] = [
        {"group": {"id": 1}, "id": number, "name": f"{number}"} for number in range(5 * cycle)
    ]
    pages: list[list[dict[str, object]]] = [[{"id": -1 - number}] for number in range(before)]
    while len(pages) < 2000:
        if is_shuffled:
            random.shuffle(rows)
        pages += [rows[start : start + 5] for start in range(0, len(rows), 5)]
    limit = 2 * max(before, MAX_REPEATED_ROWS * cycle) + (MAX_REPEATED_ROWS + 1) * cycle
    assert MAX_REPEATED_ROWS < follow(pages) <= 2 * limit


def test_rows_that_come_a_few_times_do_not_end_the_export() -> None:
    """Such as copies of a row in the data lake, and an object that is part of all rows."""
    pages: list[list[dict[str, object]]] = [
        [{"group": {"id": 1, "name": "x"}, "id": number}] * 3 for number in range(200)
    ]
    assert follow(pages) == 200
    assert follow(pages[:100] * 5) == 500


@pytest.mark.parametrize("odd", [b"a\nb", b"\xff", b"\\ud800"])
def test_rows_that_repeat_without_end_are_found_in_repaired_json(odd: bytes) -> None:
    paginator = ExportPaginator(WINDOW)
    advance(paginator, ACCEPTED)
    rows = [b'{"id":%d,"name":"%s"}' % (number, odd) for number in range(5)]
    pages = [
        parsed(200, b'{"Results":[%s],"NextToken":"t%d"}' % (b",".join(some_rows), number))
        for number, some_rows in enumerate(islice(cycle(permutations(rows)), 40))
    ]
    with pytest.raises(ExportEnded) as ended:
        advance_all(paginator, pages)
    assert ended.value.kind is ResponseKind.ENDLESS


def advance_all(paginator: ExportPaginator, responses: list[ParsedResponse]) -> None:
    for response in responses:
        advance(paginator, response)
