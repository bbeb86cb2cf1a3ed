"""What log lines and errors quote of the service's messages and keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_campusgroups.redaction import printable, redact_keys, redact_message, safe_field_name


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
    assert redact_message(message) == redacted


@given(st.text())
def test_redacted_message_of_any_text_is_one_line_without_it(text: str) -> None:
    for message in (f"Zoë{text}", f"Query execution failed Zoë{text}"):
        assert "Zoë" not in redact_message(message)
        assert len(redact_message(message).splitlines()) == 1


@given(st.text(max_size=300, alphabet=st.characters()))
def test_printable_text_is_one_line_of_bounded_length(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= 100 * len(r"\U0010ffff") + len("... (300 characters)")
    if text.isprintable() and len(text) <= 100:
        assert shown == text


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


def test_name_unlike_api_fields_is_redacted() -> None:
    for name in ("id", "updatedOn", "netid2", "isSAMLUser"):
        assert safe_field_name(name) == name
    unsafe = ("Jane_Doe", "Jane", "jane_doe", "jd1234", "jane@uni", "x.y", "a b", "4711", "é", "")
    assert {safe_field_name(name) for name in (*unsafe, "a" * 41)} == {"(a name)"}
