"""The table of what an answer means, and the paginator's steps."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
import requests

from tap_campusgroups.exports.pagination import (
    MAX_EMPTY_PAGES,
    MAX_REPEATED_PAGES,
    ExportEnded,
    ExportPaginator,
    Fetch,
    Submit,
)
from tap_campusgroups.exports.response import (
    TRANSIENT,
    WAITING,
    ResponseKind,
    classify,
    describe,
    read,
)

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)


def answer(status: int, body: bytes | object, method: str = "GET") -> requests.Response:
    """Make a response as `requests` would."""
    response = requests.Response()
    response.status_code = status
    response._content = body if isinstance(body, bytes) else msgspec.json.encode(body)  # noqa: SLF001 - there is no other way in
    response.request = requests.Request(method, "https://school.example/data/v1/events").prepare()
    return response


SUBMITTED = [
    (200, {"queryId": "q1"}, ResponseKind.ACCEPTED),
    (201, {"queryId": "q1"}, ResponseKind.ACCEPTED),
    (200, {"queryId": ""}, ResponseKind.UNRECOGNISED),
    (200, {"queryId": 7}, ResponseKind.UNRECOGNISED),
    (200, {}, ResponseKind.UNRECOGNISED),
    (200, [], ResponseKind.UNRECOGNISED),
    (200, {"Results": []}, ResponseKind.UNRECOGNISED),
    (200, {"message": "Error running query"}, ResponseKind.FAILED),
    (200, b"", ResponseKind.GARBAGE),
    (200, b"<html>busy</html>", ResponseKind.GARBAGE),
    (400, {"message": "updatedStart and updatedEnd are required"}, ResponseKind.REJECTED),
    (401, {"message": "Error validating API key from API endpoint"}, ResponseKind.DENIED),
    (403, b"", ResponseKind.DENIED),
    (404, b"<html>", ResponseKind.REJECTED),
    (422, {}, ResponseKind.REJECTED),
    (408, b"", ResponseKind.BUSY),
    (429, {"message": "Too many requests"}, ResponseKind.BUSY),
    (500, {"message": "Query execution failed"}, ResponseKind.FAILED),
    (500, {"message": "Error running query"}, ResponseKind.FAULT),
    (500, {"message": "Unknown query execution state"}, ResponseKind.FAULT),
    (500, {"message": "Error Parsing Start Date"}, ResponseKind.REJECTED),
    (500, {"message": "Error validating API key from API endpoint"}, ResponseKind.FAULT),
    (200, {"QueryID": "q1"}, ResponseKind.ACCEPTED),
    (200, {"queryId": "q1", "message": "Accepted"}, ResponseKind.ACCEPTED),
    (200, {"queryId": "q1", "error": "no"}, ResponseKind.FAILED),
    (500, b"", ResponseKind.FAULT),
    (502, b"<html>", ResponseKind.FAULT),
    (503, [], ResponseKind.FAULT),
    (307, b"", ResponseKind.REDIRECTED),
]

RETRIEVED = [
    (201, {"message": "Query is queued and waiting to be executed"}, ResponseKind.QUEUED),
    (202, {"message": "Accepted query and is running"}, ResponseKind.RUNNING),
    (201, b"", ResponseKind.QUEUED),
    (202, b"<html>", ResponseKind.RUNNING),
    (200, {"Results": []}, ResponseKind.PAGE),
    (200, {"Results": [{"id": 1}], "NextToken": "t"}, ResponseKind.PAGE),
    (200, {"Results": [], "message": "Error"}, ResponseKind.FAILED),
    (200, {"Results": [], "message": "Query still running"}, ResponseKind.RUNNING),
    (200, {"Results": [], "message": "Query is queued"}, ResponseKind.QUEUED),
    (200, {"Results": [], "message": "Not ready yet"}, ResponseKind.RUNNING),
    (200, {"Results": [], "message": "Query execution was cancelled"}, ResponseKind.CANCELLED),
    (200, {"Results": [], "message": "Please come back later"}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "message": {"text": "running"}}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "message": None}, ResponseKind.PAGE),
    (200, {"Results": [], "message": ""}, ResponseKind.PAGE),
    (200, {"Results": [], "message": "No records found"}, ResponseKind.PAGE),
    (200, {"Results": [], "message": "Success"}, ResponseKind.PAGE),
    (200, {"Results": [], "Message": "Query still running"}, ResponseKind.RUNNING),
    (200, {"Results": [], "error": "no access"}, ResponseKind.FAILED),
    (200, {"Results": [{"id": 1}], "errors": [{"code": 1}]}, ResponseKind.FAILED),
    (200, {"Results": [], "error": None, "errors": []}, ResponseKind.PAGE),
    (200, {"Results": [{"id": 1}], "message": "Query failed after 1 row"}, ResponseKind.FAILED),
    (200, {"Results": [{"id": 1}], "message": "Query was cancelled"}, ResponseKind.CANCELLED),
    (200, {"Results": [{"id": 1}], "message": "The query is complete"}, ResponseKind.PAGE),
    (200, {"results": [{"id": 1}], "next_token": "t"}, ResponseKind.PAGE),
    (200, {"Results": [], "results": [{"id": 1}]}, ResponseKind.PAGE),
    (200, {"Results": [{"id": 2}], "results": [{"id": 1}]}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "NextToken": "a", "nextToken": "b"}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "NextToken": []}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "NextToken": 0}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "NextToken": False}, ResponseKind.UNRECOGNISED),
    (200, {"message": "Query is still RUNNING"}, ResponseKind.RUNNING),
    (200, {"message": "Query is queued and waiting to be executed"}, ResponseKind.QUEUED),
    (200, {"message": "ERROR: something"}, ResponseKind.FAILED),
    (200, {"message": "error while running"}, ResponseKind.FAILED),
    (200, {"message": "Query execution was cancelled"}, ResponseKind.CANCELLED),
    (200, {"message": "Good morning"}, ResponseKind.UNRECOGNISED),
    (200, {"message": 5}, ResponseKind.UNRECOGNISED),
    (200, {"Results": None}, ResponseKind.UNRECOGNISED),
    (200, {"Results": {}}, ResponseKind.UNRECOGNISED),
    (200, {"Results": None, "message": "Query is still running"}, ResponseKind.RUNNING),
    (200, {"Results": "[]"}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "NextToken": 5}, ResponseKind.UNRECOGNISED),
    (200, {"NextToken": "t"}, ResponseKind.UNRECOGNISED),
    (200, {"queryId": "q1"}, ResponseKind.UNRECOGNISED),
    (200, {}, ResponseKind.UNRECOGNISED),
    (200, [], ResponseKind.UNRECOGNISED),
    (200, 5, ResponseKind.UNRECOGNISED),
    (204, b"", ResponseKind.GARBAGE),
    (206, {"Results": []}, ResponseKind.UNRECOGNISED),
    (200, b'{"Results": [{"id": 1}', ResponseKind.GARBAGE),
    (200, b"\x00\xff", ResponseKind.GARBAGE),
    (302, b"", ResponseKind.REDIRECTED),
    (400, {"message": "?"}, ResponseKind.EXPIRED),
    (404, b"", ResponseKind.EXPIRED),
    (405, b"", ResponseKind.REJECTED),
    (401, {"message": "Error validating API key from API endpoint"}, ResponseKind.DENIED),
    (403, b"", ResponseKind.DENIED),
    (408, b"", ResponseKind.BUSY),
    (410, {"message": "Query execution was cancelled"}, ResponseKind.CANCELLED),
    (410, b"", ResponseKind.CANCELLED),
    (429, b"", ResponseKind.BUSY),
    (500, {"message": "Query execution failed"}, ResponseKind.FAILED),
    (500, {"message": "Query execution was canceled"}, ResponseKind.CANCELLED),
    (500, {"message": "error getting query execution status"}, ResponseKind.FAULT),
    (500, {"message": "Error retrieving query result"}, ResponseKind.FAULT),
    (500, {"message": "Error parsing query result"}, ResponseKind.FAULT),
    (500, {"message": "Error Parsing Start Date"}, ResponseKind.FAULT),
    (503, b"", ResponseKind.FAULT),
]


@pytest.mark.parametrize(
    ("method", "status", "body", "reply"),
    [("POST", *row) for row in SUBMITTED] + [("GET", *row) for row in RETRIEVED],
)
def test_what_an_answer_means(
    method: str, status: int, body: bytes | object, reply: ResponseKind
) -> None:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    assert classify(method, status, content).reply is reply


def test_every_meaning_is_in_the_table() -> None:
    shown = {row[2] for row in SUBMITTED + RETRIEVED}
    assert shown == set(ResponseKind) - {
        ResponseKind.LOOPED,
        ResponseKind.ENDLESS,
        ResponseKind.REPEATED,
    }


@pytest.mark.parametrize(
    ("tail", "token"),
    [
        ({"NextToken": "a"}, "a"),
        ({"nextToken": "b"}, "b"),
        ({"NextToken": "a", "nextToken": "a"}, "a"),
        ({"NextToken": "", "nextToken": "b"}, "b"),
        ({"nextToken": "b", "NextToken": ""}, "b"),
        ({"nexttoken": "c"}, "c"),
        ({"NEXT_TOKEN": "c", "NextToken": None}, "c"),
        ({"NextToken": None, "nextToken": "b"}, "b"),
        ({"NextToken": None}, None),
        ({"NextToken": ""}, None),
        ({}, None),
    ],
    ids=repr,
)
def test_both_spellings_of_the_token_and_its_absence(
    tail: dict[str, object], token: str | None
) -> None:
    reading = classify("GET", 200, msgspec.json.encode({"Results": [{"id": 1}], **tail}))
    assert (reading.reply, reading.token) == (ResponseKind.PAGE, token)
    assert reading.results is not None
    assert bytes(reading.results) == b'[{"id":1}]'


def test_the_steps_of_an_export() -> None:
    paginator = ExportPaginator(START, END)
    steps: list[object] = [paginator.current_value]
    for response in (
        answer(200, {"queryId": "q1"}, "POST"),
        answer(201, {"message": "Query is queued and waiting to be executed"}),
        answer(202, {"message": "Accepted query and is running"}),
        answer(200, {"Results": [{"id": 1}], "NextToken": "t1"}),
        answer(202, b""),
        answer(200, {"Results": [], "nextToken": "t2"}),
        answer(200, {"Results": [{"id": 2}], "NextToken": None}),
    ):
        assert not paginator.finished
        assert paginator.continue_if_empty(response)
        paginator.advance(response)
        steps.append(paginator.current_value)
    assert paginator.finished
    assert steps == [
        Submit(START, END),
        Fetch("q1"),
        Fetch("q1", polls=1),
        Fetch("q1", polls=2),
        Fetch("q1", "t1"),
        Fetch("q1", "t1", polls=1),
        Fetch("q1", "t2"),
        Fetch("q1", "t2"),
    ]


def test_an_export_without_rows_is_one_page() -> None:
    paginator = ExportPaginator(START, END)
    paginator.advance(answer(200, {"queryId": "q1"}, "POST"))
    paginator.advance(answer(200, {"Results": []}))
    assert paginator.finished


@pytest.mark.parametrize("again", ["t1", "t2"])
def test_a_token_handed_out_twice_ends_the_export(again: str) -> None:
    paginator = ExportPaginator(START, END)
    paginator.advance(answer(200, {"queryId": "q1"}, "POST"))
    paginator.advance(answer(200, {"Results": [], "NextToken": "t1"}))
    paginator.advance(answer(200, {"Results": [], "NextToken": "t2"}))
    with pytest.raises(ExportEnded) as ended:
        paginator.advance(answer(200, {"Results": [], "NextToken": again}))
    assert ended.value.reply is ResponseKind.LOOPED


@pytest.mark.parametrize(
    ("method", "status", "body", "reply"),
    [
        (method, status, body, reply)
        for method, table in (("POST", SUBMITTED), ("GET", RETRIEVED))
        for status, body, reply in table
        if reply not in {ResponseKind.ACCEPTED, ResponseKind.PAGE, *WAITING}
    ],
    ids=repr,
)
def test_whatever_else_ends_the_export(
    method: str, status: int, body: bytes | object, reply: ResponseKind
) -> None:
    """The transient ones, too: the stream tries those again before it asks the paginator."""
    paginator = ExportPaginator(START, END)
    if method == "GET":
        paginator.advance(answer(200, {"queryId": "q1"}, "POST"))
    with pytest.raises(ExportEnded) as ended:
        paginator.advance(answer(status, body, method))
    assert ended.value.reply is reply
    assert f"HTTP {status}" in str(ended.value)
    assert not paginator.finished


def test_transient_and_waiting_are_apart() -> None:
    assert not TRANSIENT & WAITING


def test_a_response_is_read_once() -> None:
    response = answer(200, {"Results": [], "NextToken": "t"})
    assert read(response) is read(response)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, {"message": "Query execution failed"}, 'HTTP 500: "Query execution failed"'),
        (500, {"message": "no row for jane.doe@uni.example"}, 'HTTP 500: "no row for *"'),
        (400, {"message": "Column 'Jane' of student 4711: bad value"}, "\"Column '*' of * *: bad"),
        (
            200,
            {"Results": None, "jane.doe@uni.example": 1},
            "Results: null, (another key): integer",
        ),
        (200, [1], "JSON of type array"),
        (200, {}, "an object of no keys"),
        (502, b"<html>jane.doe@uni.example</html>", "33 bytes that are not JSON"),
    ],
    ids=repr,
)
def test_an_answer_is_described_without_its_content(
    status: int, body: bytes | object, words: str
) -> None:
    text = describe(answer(status, body))
    assert words in text
    assert "jane" not in text


def follow(pages: list[list[dict[str, object]]]) -> int:
    """Advance over pages, each with a new token; return how many were taken."""
    paginator = ExportPaginator(START, END)
    paginator.advance(answer(200, {"queryId": "q"}, "POST"))
    for number, rows in enumerate(pages):
        try:
            paginator.advance(answer(200, {"Results": rows, "NextToken": f"t{number}"}))
        except ExportEnded as ended:
            assert ended.reply is ResponseKind.ENDLESS  # noqa: PT017 - the number of pages matters, too
            return number
    return len(pages)


def test_empty_pages_end_the_export_when_there_are_too_many_in_a_row() -> None:
    assert follow([[]] * 200) == MAX_EMPTY_PAGES - 1 == 99
    almost: list[list[dict[str, object]]] = [[]] * (MAX_EMPTY_PAGES - 1)
    assert follow([*almost, [{"id": 1}], *almost]) == 2 * MAX_EMPTY_PAGES - 1


def test_pages_that_come_again_end_the_export_wherever_they_stand() -> None:
    two: list[list[dict[str, object]]] = [[{"id": 1}], [{"id": 2}]]
    assert follow(two * 50) == 2 + MAX_REPEATED_PAGES - 1 == 11
    assert follow([[{"id": number}] for number in range(200)]) == 200


@pytest.mark.parametrize("place", [0, 4_000, 8_000])
def test_long_pages_of_one_length_differ_by_their_ends(place: int) -> None:
    """A page is compared by its length and its ends, of 4 KiB each."""
    text = "x" * 8_000
    pages: list[list[dict[str, object]]] = [
        [{"id": text[:place] + f"{number:03}" + text[place:]}] for number in range(50)
    ]
    assert follow(pages) == 50


def test_paginator_tells_whether_it_is_submitting() -> None:
    paginator = ExportPaginator(START, END)
    assert paginator.is_submitting
    paginator.advance(answer(200, {"queryId": "q"}, "POST"))
    assert not paginator.is_submitting
