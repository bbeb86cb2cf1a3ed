"""What is kept of an answer beside its meaning, and what of its message is told."""

from __future__ import annotations

import msgspec
import pytest

from tap_campusgroups.exports.response import ResponseKind, classify, quote, redact_keys


@pytest.mark.parametrize(
    ("method", "status", "body"),
    [
        ("POST", 200, {"queryId": "q"}),
        ("POST", 200, {}),
        ("POST", 204, {}),
        ("GET", 200, {"Results": []}),
        ("GET", 200, {"Results": [], "NextToken": 5}),
        ("GET", 200, {"Results": None}),
        ("GET", 200, {"Results": {"id": 1}}),
        ("GET", 200, {"Results": [{"id": 1}]}),
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
    assert classify("GET", status, b"{}").reply is ResponseKind.REDIRECTED


@pytest.mark.parametrize(
    ("content", "has_invalid_unicode"),
    [
        (b'{"Results": [{"name": "Zo\xc3\xab"}]}', False),
        (b'{"Results": [{"name": "\\ud83d"}]}', True),
    ],
)
def test_page_with_half_a_character_is_read_and_marked(
    content: bytes, *, has_invalid_unicode: bool
) -> None:
    reading = classify("GET", 200, content)
    assert (reading.kind, reading.has_invalid_unicode) == (ResponseKind.PAGE, has_invalid_unicode)


def test_quoted_message_begins_with_its_first_character() -> None:
    assert quote("'Jane' not found") == "'*' not found"


def test_quoted_message_is_one_line() -> None:
    assert quote("Query failed:\n\t  no  result") == "Query failed: no result"


@pytest.mark.parametrize(
    ("keys", "quoted"),
    [
        (["HasMore"], "HasMore"),
        (["has_more", "NEXT", "pageToken2"], "has_more, NEXT, 1 other"),
        (["ZoeSentinel", "Zoe Sentinel", "zoe"], "3 others"),
        (["page"] * 7, "page, page, page, page, page, 2 others"),
        (["Page-Token"], "1 other"),
        ([], ""),
    ],
)
def test_keys_are_quoted_only_if_their_words_speak_of_the_answer(
    keys: list[str], quoted: str
) -> None:
    assert redact_keys(keys) == quoted


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        ({"Results": [], "HasMore": True, "Next-Token": "t"}, ("HasMore", "Next-Token")),
        ({"Results": [{"id": 1}], "next_token": "t", "QUERY_ID": "q", "message": "ok"}, ()),
    ],
)
def test_unknown_keys_of_a_page_are_kept(body: dict[str, object], keys: tuple[str, ...]) -> None:
    assert classify("GET", 200, msgspec.json.encode(body)).unknown_keys == keys


@pytest.mark.parametrize(
    ("results", "has_rows"), [("[]", False), (" [ ] ", False), ("[{}]", True), ("[null]", True)]
)
def test_page_tells_whether_it_has_rows(results: str, *, has_rows: bool) -> None:
    reading = classify("GET", 200, f'{{"Results":{results}}}'.encode())
    assert (reading.kind, reading.has_rows) == (ResponseKind.PAGE, has_rows)


def test_error_text_is_the_message_whatever_else_is_said() -> None:
    body = {"Results": [], "message": "all is well", "errorMessage": "no access"}
    reading = classify("GET", 200, msgspec.json.encode(body))
    assert (reading.kind, reading.message) == (ResponseKind.FAILED, "no access")


@pytest.mark.parametrize("error", [None, "", [], {}, False, 0])
def test_empty_error_is_none(error: object) -> None:
    body = {"Results": [{"id": 1}], "error": error}
    assert classify("GET", 200, msgspec.json.encode(body)).reply is ResponseKind.PAGE
