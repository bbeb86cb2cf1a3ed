"""What is kept of an answer beside its meaning, and what of its message is told."""

from __future__ import annotations

import msgspec
import pytest

from tap_campusgroups.replies import Reply, classify, quote


@pytest.mark.parametrize(
    ("method", "status", "body"),
    [
        ("POST", 200, {"queryId": "q"}),
        ("POST", 200, {}),
        ("POST", 204, {}),
        ("GET", 200, {"Results": []}),
        ("GET", 200, {"Results": [], "NextToken": 5}),
        ("GET", 200, {"Results": None}),
        ("GET", 200, {}),
        ("GET", 201, {}),
        ("GET", 206, {"Results": []}),
        ("GET", 302, {}),
        ("GET", 400, {}),
        ("GET", 401, {}),
        ("GET", 405, {}),
        ("GET", 500, {}),
    ],
    ids=repr,
)
def test_message_of_any_answer_is_kept(method: str, status: int, body: dict[str, object]) -> None:
    words = "Contact the administrator"
    content = msgspec.json.encode({**body, "message": words})
    assert classify(method, status, content).message == words


@pytest.mark.parametrize("status", [300, 301, 307, 399])
def test_redirect_of_any_status_is_never_followed(status: int) -> None:
    assert classify("GET", status, b"{}").reply is Reply.REDIRECTED


@pytest.mark.parametrize(
    ("content", "is_replaced"),
    [
        (b'{"Results": [{"name": "Zo\xc3\xab"}]}', False),
        (b'{"Results": [{"name": "\\ud83d"}]}', True),
    ],
)
def test_page_with_half_a_character_is_read_and_marked(
    content: bytes, *, is_replaced: bool
) -> None:
    reading = classify("GET", 200, content)
    assert (reading.reply, reading.is_replaced) == (Reply.PAGE, is_replaced)


def test_quoted_message_begins_with_its_first_character() -> None:
    assert quote("'Jane' not found") == "'*' not found"


def test_quoted_message_is_one_line() -> None:
    assert quote("Query failed:\n\t  no  result") == "Query failed: no result"
