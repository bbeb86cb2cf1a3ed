"""The steps of an export: submit, poll, follow tokens; and how it ends."""

from __future__ import annotations

import pytest

from tap_campusgroups.exports.pagination import (
    MAX_EMPTY_PAGES,
    MAX_REPEATED_PAGES,
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


def test_too_many_repeated_pages_in_any_position_end_the_export() -> None:
    two: list[list[dict[str, object]]] = [[{"id": 1}], [{"id": 2}]]
    assert follow(two * 50) == 2 + MAX_REPEATED_PAGES - 1 == 11
    assert follow([[{"id": number}] for number in range(200)]) == 200


@pytest.mark.parametrize("position", [0, 4_000, 8_000])
def test_long_pages_of_one_length_with_different_ends_are_not_repeated(position: int) -> None:
    """Pages are compared by their length and the 4 KiB at each end."""
    text = "x" * 8_000
    pages: list[list[dict[str, object]]] = [
        [{"id": text[:position] + f"{number:03}" + text[position:]}] for number in range(50)
    ]
    assert follow(pages) == 50
