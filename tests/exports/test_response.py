"""The meaning of responses, and what log lines and errors quote of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_campusgroups.exports.response import ResponseKind
from tests.support.exports import parsed
from tests.support.response_table import RESPONSES_TO_GET, RESPONSES_TO_POST


@pytest.mark.parametrize(
    ("method", "status", "body", "kind"),
    [("POST", *case) for case in RESPONSES_TO_POST] + [("GET", *case) for case in RESPONSES_TO_GET],
)
def test_response_of_the_table_has_the_expected_kind(
    method: str, status: int, body: bytes | object, kind: ResponseKind
) -> None:
    assert parsed(status, body, method).kind is kind


@given(
    body=st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.just({"a": [{}]})),
    indent=st.none() | st.just("\r\n\t "),
    repeated=st.booleans(),
    data=st.data(),
)
def test_body_is_unrecognised_if_any_key_occurs_twice(
    body: dict[str, object], indent: str | None, data: st.DataObject, *, repeated: bool
) -> None:
    """JSON with any keys, values and spaces; beside `Results`, which is a page without the rest."""
    body = {f"_{key}-": value for key, value in body.items()} | {"Results": [{"id": 1}]}
    lines = [json.dumps({key: value}, indent=indent)[1:-1] for key, value in body.items()]
    if repeated:
        key = data.draw(st.sampled_from(sorted(body)))
        line = json.dumps({key: data.draw(st.none() | st.text())}, indent=indent)[1:-1]
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    else:
        lines = data.draw(st.permutations(lines))
    found = parsed(200, f"{{{','.join(lines)}}}".encode())
    assert found.kind is (ResponseKind.UNRECOGNISED if repeated else ResponseKind.PAGE)
    assert (found.detail == "an object that has a key twice") == repeated


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ('[{"id": 1, "a": 1, "a": 1}]', ResponseKind.UNRECOGNISED),
        ('[{"id": 1, "a": {"b": [{"c": 1, "c": 2}]}}]', ResponseKind.UNRECOGNISED),
        ('[{"id": 1, "\\u0061": 1, "a": 2}]', ResponseKind.UNRECOGNISED),
        (f'[7, {{"id": 1, "a": "{"x" * 20_000}", "id": 2}}]', ResponseKind.UNRECOGNISED),
        ('[{"id": 1, "a": "\x01", "b": NaN, "id": 1}]', ResponseKind.UNRECOGNISED),
        ('[{"id": 1, "a": {"id": 1}, "A": [{"id": 1}, {"id": 1}]}, {"id": 1}]', ResponseKind.PAGE),
        ('["{", 7]', ResponseKind.PAGE),
        (f'[{{"id": 1, "n": {"9" * 5000}}}]', ResponseKind.PAGE),  # fails where it is converted
    ],
)
def test_page_is_unrecognised_if_its_first_row_has_a_key_twice(
    rows: str, kind: ResponseKind
) -> None:
    found = parsed(200, f'{{"Results": {rows}}}'.encode())
    assert found.kind is kind
    if kind is ResponseKind.UNRECOGNISED:
        assert found.detail == "rows that have a key twice"


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
    found = parsed(200, {"Results": [{"id": 1}], **tail})
    assert (found.kind, found.token) == (ResponseKind.PAGE, token)
    assert found.results is not None
    assert bytes(found.results) == b'[{"id":1}]'


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, {"message": "Query execution failed"}, 'HTTP 500, "Query execution failed"'),
        (500, {"message": "no row for jane.doe@uni.example"}, "HTTP 500, a hidden message of 31 "),
        (400, {"message": "Column 'jane' of student 4711: bad value"}, "HTTP 400, a hidden mess"),
        (200, {"Results": None, "jane.doe@uni.example": 1}, "Results: null, (another key): number"),
        (200, [1], "JSON of type array"),
        (200, {}, "an object of no keys"),
        (502, b"<html>jane.doe@uni.example</html>", "33 bytes that are not JSON"),
    ],
    ids=repr,
)
def test_description_of_response_hides_its_content(
    status: int, body: bytes | object, words: str
) -> None:
    text = str(parsed(status, body))
    assert words in text
    assert "jane" not in text


@given(
    method=st.sampled_from(["POST", "GET"]),
    status=st.sampled_from([200, 201, 204, 206, 302, 400, 401, 405, 500]),
    body=st.sampled_from(
        [{}, {"queryId": "q"}, {"Results": []}, {"Results": [{"id": 1}]}, {"Results": {}}]
    ),
)
def test_detail_of_any_response_is_its_message(
    method: str, status: int, body: dict[str, object]
) -> None:
    found = parsed(status, {**body, "message": "Query execution failed"}, method)
    assert (found.status, found.detail) == (status, '"Query execution failed"')


@pytest.mark.parametrize("status", [300, 301, 307, 399])
def test_redirect_of_any_status_is_redirected(status: int) -> None:
    assert parsed(status, {}).kind is ResponseKind.REDIRECTED


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
    found = parsed(200, content)
    assert (found.kind, found.has_invalid_unicode) == (ResponseKind.PAGE, has_invalid_unicode)


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        ({"Results": [], "HasMore": True, "Next-Token": "t"}, ("HasMore", "Next-Token")),
        ({"Results": [{"id": 1}], "next_token": "t", "QUERY_ID": "q", "message": "ok"}, ()),
    ],
)
def test_unknown_keys_of_a_page_are_kept(body: dict[str, object], keys: tuple[str, ...]) -> None:
    assert parsed(200, body).unknown_keys == keys


@pytest.mark.parametrize(
    ("results", "has_rows"), [("[]", False), (" [ ] ", False), ("[{}]", True), ("[null]", True)]
)
def test_page_with_or_without_rows_is_marked_accordingly(results: str, *, has_rows: bool) -> None:
    found = parsed(200, f'{{"Results":{results}}}'.encode())
    assert (found.kind, found.has_rows) == (ResponseKind.PAGE, has_rows)


def test_error_text_beside_a_message_is_the_detail() -> None:
    found = parsed(200, {"Results": [], "message": "ok", "errorMessage": "Query execution failed"})
    assert str(found) == 'the query failed (HTTP 200, "Query execution failed")'


@pytest.mark.parametrize("error", [None, "", [], {}, False, 0])
def test_empty_error_field_is_ignored(error: object) -> None:
    body = {"Results": [{"id": 1}], "error": error}
    assert parsed(200, body).kind is ResponseKind.PAGE
