"""Pages with invalid JSON or Unicode, and their repair."""

from __future__ import annotations

import json
import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_campusgroups.records import json_codec
from tap_campusgroups.records.json_codec import (
    InvalidJsonError,
    JsonError,
    UnexpectedJsonError,
    decode_body,
    decode_rows,
    repair_json,
)
from tap_campusgroups.records.quality import DataQualityCounters
from tests.support.conversion import FIELDS, KEY, SCHEMA, STABLE, assert_same
from tests.support.strategies import pages

INVALID_PAGES = [
    *(b"", b" ", b"null", b"1", b'"x"', b"{}", b"[", b"[{", b'[{"id"', b'[{"id":', b'[{"id":1'),
    *(b'[{"id":1}', b'[{"id":1},', b'[{"id":1},]', b'[{"id":1}]]', b'[{"id":1}] x'),
    *(b'[{"id":1} {"id":2}]', b"[{'id':1}]", b"[{id:1}]", b'[{"id":01}]', b'[{"id":1.}]'),
    *(b'[{"id":.5}]', b'[{"id":+1}]', b'[{"id":nan}]', b'[{"id":}]', b'\xef\xbb\xbf[{"id":1}]'),
    *(b'[{"id":tr}]', b'[{"id":nul}]', b'[{"id":1,}]', b"\xff\xfe[\0]\0", b'[{"id":"x"},{'),
    *(b'[{"new":1},{"a]', b'[{"id":"x","count":"x"},{"id":1},{"count":}]'),
]
INVALID_VALUES = [
    *(b'"\\x"', b'"\\u12"', b"tr", b"1.", b"1e", b"-", b"01", b"[1,]", b'{"a"}', b'{"a":1,}'),
    *(b'"', b"'a'", b'"\xff', b'"\\ud800', b'["\xff"', b"{\xff:1}", b"\xff"),
]
INVALID_UNICODE = [
    *(b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"a\x80"', b'"\xf4\x90\x80\x80"'),
    *(b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\u0041"', b'"\\ud83d\\ud83d"', b'["\xff"]'),
    *(b'{"a":"\xff"}', b'{"\xff":1}', b'{"\\ud800":1}', b'[{"a":["\xff"]}]', b'{"name":"\xff"}'),
    *(b'{"\xff":1,"id":"x"}', b'"7\xff"', b'"{\\"name\\":\\"\xff\\"}"'),
    *(b'"{\\"name\\":\\"\\\\ud800\\"}"', b'"\\\\\\ud83d\\ude00\\ude00"'),
]


@pytest.mark.parametrize("page", INVALID_PAGES, ids=repr)
def test_invalid_page_raises_the_same_error(page: bytes) -> None:
    pair = assert_same(SCHEMA, page, b'[{"id":1,"updatedOn":"2024-05-01"}]', page)
    assert isinstance(pair.as_page(page), type)
    assert pair.page_quality == DataQualityCounters()
    assert DataQualityCounters() == assert_same(SCHEMA, page, primary_key="id").page_quality


@pytest.mark.parametrize("field", [*FIELDS, "new", 'a"b'])
def test_invalid_json_in_any_field_raises_the_same_error(field: str) -> None:
    for value in INVALID_VALUES:
        page = b'[{"id":1},{%s:%s}]' % (json.dumps(field).encode(), value)
        pair = assert_same(SCHEMA, page, b'[{"id":1,"updatedOn":"2024-05-01"}]', page)
        assert isinstance(pair.as_page(page), type), value


@pytest.mark.parametrize("field", [*FIELDS, "new", 'a"b'])
def test_invalid_unicode_in_any_field_is_replaced_alike(field: str) -> None:
    name = json.dumps(field).encode()
    other = b"deleted" if field == "count" else b"count"
    for before in (b"", b'{"id":"x"},', b'{"new":1,"at":"soon"},', b'{"a\\nb":1},'):
        for value in INVALID_UNICODE:
            page = b'[%s{%s:%s,"%s":"x"},{"id":2}]' % (before, name, value, other)
            assert_same(SCHEMA, page, b'[{"id":1,"updatedOn":"2024-05-01"}]', page)


ESCAPES = st.lists(
    st.sampled_from(
        [
            *("a", "\\\\", '\\"', "\\n", "\\u0041", "\\ud83d", "\\ude00", "\\uD83D", "\\uDe00"),
            "ud83d",
        ]
    ),
    max_size=8,
).map("".join)


@settings(STABLE, max_examples=100)
@given(ESCAPES)
def test_lone_surrogates_are_replaced_and_pairs_are_kept(text: str) -> None:
    repaired, is_replaced = repair_json(f'"{text}"'.encode())
    # `json` joins pairs and keeps lone surrogates.
    decoded = json.loads(f'"{text}"')
    expected = re.sub("[\ud800-\udfff]", "\ufffd", decoded)
    assert (json.loads(bytes(repaired)), is_replaced) == (expected, expected != decoded)


@settings(STABLE, max_examples=60)
@given(pages(SCHEMA), st.integers(0, 200), st.text(st.characters(codec="ascii"), max_size=2))
def test_truncated_or_garbled_page_converts_alike(text: str, place: int, garbage: str) -> None:
    assert_same(SCHEMA, text.encode()[:place], text[:place] + garbage + text[place + 1 :])


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "a\tb\n\0\x1f"])
def test_repaired_value_is_text(text: str) -> None:
    page = f'[{{"id":1,"name":{json.dumps(text)},"new":[{text if text[-1] in "Ny" else 1}]}}]'
    repaired, is_replaced = repair_json(page.replace(r"\t", "\t").replace(r"\u0000", "\0").encode())
    assert not is_replaced
    (row,) = decode_rows(repaired)[0]
    assert row["name"] == text
    assert row["new"] == [text if text[-1] in "Ny" else 1]


UNREADABLE = ["9" * 5000, f"-{'9' * 5000}", "[" * 200_000 + "]" * 200_000, '{"a":' * 200_000]


@pytest.mark.parametrize("value", UNREADABLE, ids=["long", "negative", "deep", "deep and cut"])
@pytest.mark.parametrize("field", ["count", "name", "status", "new"])
def test_page_that_no_parser_reads_is_invalid(field: str, value: str) -> None:
    pair = assert_same(SCHEMA, page := f'[{{"{field}":{value}}}]')
    outcome = pair.as_page(page.encode())
    assert isinstance(outcome, type)
    assert issubclass(outcome, JsonError)


def test_body_that_is_nested_too_deeply_is_invalid() -> None:
    with pytest.raises(InvalidJsonError):
        decode_body(b'{"Results":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


@pytest.mark.parametrize("field", ["status", "tags", "admins"])
def test_json_text_with_huge_integer_is_a_type_mismatch(field: str) -> None:
    text = f"[{'9' * 5000}]"
    pair = assert_same(SCHEMA, json.dumps([{KEY: None, field: text}]))
    assert pair.page_quality.type_mismatches == {field: 1}


# Time and memory have limits


def test_repair_takes_a_few_times_the_size_of_its_text() -> None:
    text = b'[%s{"name":"\t\xff"}]' % (b'{"id":[1,2,3,4,5,6,7,8,9]},' * 40_000)
    tracemalloc.start()
    try:
        repair_json(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(text) + 4 * 2**20


def test_text_cut_between_escaped_quotes_is_invalid_in_linear_time() -> None:
    with pytest.raises(InvalidJsonError):  # quadratic, this would take hours
        decode_body(b'{"Results":[{"name":"%s}' % (rb"\"x" * 10**6))


@pytest.mark.parametrize(
    ("limit", "text"),
    [("_MAX_REPAIRED_BYTES", b'"aa\t"'), ("_MAX_REPAIRS", b'"\t\t\t\t\t"')],
)
def test_repair_beyond_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str, text: bytes
) -> None:
    assert repair_json(text)
    monkeypatch.setattr(json_codec, limit, 4)
    with pytest.raises(InvalidJsonError):
        repair_json(text)


@pytest.mark.parametrize(
    ("value", "limit"),
    [(b"{}", json_codec.MAX_OBJECTS), (b"0", json_codec.MAX_VALUES), (b"[]", 10**6)],
)
def test_body_of_too_many_values_is_refused(value: bytes, limit: int) -> None:
    body = b'{"Results":[%s%s]}'
    assert decode_body(body % ((value + b",") * (limit - 100), value))
    with pytest.raises(UnexpectedJsonError, match="JSON of more than"):
        decode_body(body % ((value + b",") * limit, value))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(b'{"responses":[%s{}]}' % (b'{"questionId":1},' * 300), id="long survey"),
        pytest.param(b'{"body":"%s"}' % (b"td{margin:0,0} " * 2500), id="CSS of an email"),
        pytest.param(b'{"body":"%s"}' % (rb"\"a\", " * 2500), id="quoted words"),
    ],
)
def test_body_of_long_rows_is_read(row: bytes) -> None:
    assert decode_body(b'{"Results":[%s]}' % b",".join([row] * 999))


def test_cut_body_of_many_commas_and_escaped_quotes_is_refused_at_once() -> None:
    with pytest.raises(InvalidJsonError):  # a quadratic search would take hours
        decode_body(b'{"Results":["' + rb"\"," * (json_codec.MAX_VALUES + 1))
