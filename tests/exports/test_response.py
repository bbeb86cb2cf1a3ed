"""The meaning of responses, and what log lines and errors quote of them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_campusgroups.exports.response import (
    TRANSIENT,
    WAITING,
    ResponseKind,
    classify,
    describe,
    parse_response,
    redact,
    redact_keys,
)
from tests.support.exports import make_response
from tests.support.response_table import RESPONSES_TO_GET, RESPONSES_TO_POST


@pytest.mark.parametrize(
    ("method", "status", "body", "kind"),
    [("POST", *case) for case in RESPONSES_TO_POST] + [("GET", *case) for case in RESPONSES_TO_GET],
)
def test_response_of_the_table_has_the_expected_kind(
    method: str, status: int, body: bytes | object, kind: ResponseKind
) -> None:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    assert classify(method, status, content).kind is kind


def test_every_kind_of_a_single_response_is_in_the_table() -> None:
    kinds = {kind for _, _, kind in RESPONSES_TO_POST + RESPONSES_TO_GET}
    assert kinds == set(ResponseKind) - {
        ResponseKind.TOKEN_REPEATED,
        ResponseKind.ENDLESS,
        ResponseKind.QUERY_ID_REPEATED,
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
def test_token_in_any_spelling_is_found(tail: dict[str, object], token: str | None) -> None:
    parsed = classify("GET", 200, msgspec.json.encode({"Results": [{"id": 1}], **tail}))
    assert (parsed.kind, parsed.token) == (ResponseKind.PAGE, token)
    assert parsed.results is not None
    assert bytes(parsed.results) == b'[{"id":1}]'


def test_kinds_that_are_retried_are_not_waited_for() -> None:
    assert not TRANSIENT & WAITING


def test_response_parsed_twice_is_cached() -> None:
    response = make_response(200, {"Results": [], "NextToken": "t"})
    assert parse_response(response) is parse_response(response)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, {"message": "Query execution failed"}, 'HTTP 500, "Query execution failed"'),
        (500, {"message": "no row for jane.doe@uni.example"}, "HTTP 500, a hidden message of 31 "),
        (400, {"message": "Column 'jane' of student 4711: bad value"}, "HTTP 400, a hidden mess"),
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
def test_description_of_response_hides_its_content(
    status: int, body: bytes | object, words: str
) -> None:
    text = describe(make_response(status, body))
    assert words in text
    assert "jane" not in text


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
def test_message_of_any_response_is_kept(method: str, status: int, body: dict[str, object]) -> None:
    message = "Contact the administrator"
    content = msgspec.json.encode({**body, "message": message})
    assert classify(method, status, content).message == message


@pytest.mark.parametrize("status", [300, 301, 307, 399])
def test_redirect_of_any_status_is_redirected(status: int) -> None:
    assert classify("GET", status, b"{}").kind is ResponseKind.REDIRECTED


@pytest.mark.parametrize(
    ("content", "has_invalid_unicode"),
    [
        (b'{"Results": [{"name": "Zo\xc3\xab"}]}', False),
        (b'{"Results": [{"name": "\\ud83d"}]}', True),
    ],
)
def test_page_with_a_lone_surrogate_is_parsed_and_marked(
    content: bytes, *, has_invalid_unicode: bool
) -> None:
    parsed = classify("GET", 200, content)
    assert (parsed.kind, parsed.has_invalid_unicode) == (ResponseKind.PAGE, has_invalid_unicode)


@pytest.mark.parametrize(
    ("message", "redacted"),
    [
        ("Query execution failed", '"Query execution failed"'),
        ("  query EXECUTION failed.\n", '"Query execution failed"'),
        (
            "Query execution failed: column 'Jane' not found",
            '"Query execution failed" and 25 hidden characters',
        ),
        ("Error Parsing Start Date", '"Error parsing start date"'),
        ("Jane Doe: Query execution failed", "a hidden message of 32 characters"),
        ("no row for jane.doe@uni.example", "a hidden message of 31 characters"),
    ],
)
def test_redacted_message_quotes_only_a_known_beginning(message: str, redacted: str) -> None:
    assert redact(message) == redacted


@given(st.text())
def test_redacted_message_of_any_text_is_one_line_without_it(text: str) -> None:
    for message in (f"Zoë{text}", f"Query execution failed Zoë{text}"):
        assert "Zoë" not in redact(message)
        assert len(redact(message).splitlines()) == 1


@pytest.mark.parametrize(
    ("keys", "redacted"),
    [
        (["HasMore"], "HasMore"),
        (["pageToken2", "NEXT", "NEXT"], "pageToken2, NEXT"),
        (["has_more", "Zoe Sentinel", "zoe@uni.example", "Zoë"], "(a name)"),
        (["Page-Token", "Cursor"], "(a name), Cursor"),
        ([f"key{letter}" for letter in "ABCDEFG"], "keyA, keyB, keyC, keyD, keyE and 2 more"),
        ([], ""),
    ],
)
def test_redacted_keys_are_only_those_written_like_fields(keys: list[str], redacted: str) -> None:
    assert redact_keys(keys) == redacted


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
def test_page_with_or_without_rows_is_marked_accordingly(results: str, *, has_rows: bool) -> None:
    parsed = classify("GET", 200, f'{{"Results":{results}}}'.encode())
    assert (parsed.kind, parsed.has_rows) == (ResponseKind.PAGE, has_rows)


def test_error_text_beside_a_message_is_the_message() -> None:
    body = {"Results": [], "message": "all is well", "errorMessage": "no access"}
    parsed = classify("GET", 200, msgspec.json.encode(body))
    assert (parsed.kind, parsed.message) == (ResponseKind.FAILED, "no access")


@pytest.mark.parametrize("error", [None, "", [], {}, False, 0])
def test_empty_error_field_is_ignored(error: object) -> None:
    body = {"Results": [{"id": 1}], "error": error}
    assert classify("GET", 200, msgspec.json.encode(body)).kind is ResponseKind.PAGE
