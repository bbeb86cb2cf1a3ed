"""Pages with invalid JSON or Unicode, or with values that JSON parsers reject."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_campusgroups.records.json_codec import (
    replace_invalid_unicode,
)
from tap_campusgroups.records.quality import DataQualityCounters
from tests.support.conversion import (
    FIELDS,
    KEY,
    SCHEMA,
    STABLE,
    assert_same,
)
from tests.support.strategies import (
    pages,
)

INVALID_PAGES = [
    *(b"", b" ", b"null", b"1", b'"x"', b"{}"),
    *(b"[", b"[{", b'[{"id"', b'[{"id":', b'[{"id":1', b'[{"id":1}', b'[{"id":1},', b'[{"id":1},]'),
    *(b'[{"id":1}]]', b'[{"id":1}] x', b'[{"id":1} {"id":2}]', b"[{'id':1}]", b"[{id:1}]"),
    *(
        b'[{"id":01}]',
        b'[{"id":1.}]',
        b'[{"id":.5}]',
        b'[{"id":+1}]',
        b'[{"id":nan}]',
        b'[{"id":}]',
    ),
    *(
        b'\xef\xbb\xbf[{"id":1}]',
        b'[{"id":tr}]',
        b'[{"id":nul}]',
        b'[{"id":1,}]',
        b"\xff\xfe[\0]\0",
    ),
    *(b'[{"id":"x"},{', b'[{"new":1},{"a]', b'[{"id":"x","count":"x"},{"id":1},{"count":}]'),
]
INVALID_VALUES = [
    *(b'"\\x"', b'"\\u12"', b"tr", b"1.", b"1e", b"-", b"01", b"[1,]", b'{"a"}'),
    *(b'{"a":1,}', b'"', b"'a'", b'"\xff', b'"\\ud800', b'["\xff"', b"{\xff:1}", b"\xff"),
]
INVALID_UNICODE = [
    *(b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"a\x80"', b'"\xf4\x90\x80\x80"', b'"\\ud800"'),
    *(
        b'"\\udc00"',
        b'"\\ud800\\u0041"',
        b'"\\ud83d\\ud83d"',
        b'["\xff"]',
        b'{"a":"\xff"}',
        b'{"\xff":1}',
    ),
    *(
        b'{"\\ud800":1}',
        b'[{"a":["\xff"]}]',
        b'{"name":"\xff"}',
        b'{"\xff":1,"id":"x"}',
        b'"7\xff"',
    ),
    *(
        b'"{\\"name\\":\\"\xff\\"}"',
        b'"{\\"name\\":\\"\\\\ud800\\"}"',
        b'"\\\\\\ud83d\\ude00\\ude00"',
    ),
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


@pytest.mark.parametrize(
    "key", [b'"\xff"', b'"\\ud800"', b'"a', b"a", b"1", b"null", b'"\\x"'], ids=repr
)
def test_invalid_key_converts_alike(key: bytes) -> None:
    for page in (b"[{%s:1}]" % key, b'[{"status":{%s:1}}]' % key, b'[{"new":{%s:1}}]' % key):
        assert_same(SCHEMA, page, b'[{"id":"x","new":2}]', page)


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
    replaced = replace_invalid_unicode(f'"{text}"'.encode())
    # `json` joins pairs and keeps lone surrogates.
    expected = re.sub("[\ud800-\udfff]", "\ufffd", json.loads(f'"{text}"'))
    assert json.loads(replaced) == expected


@settings(STABLE, max_examples=60)
@given(pages(SCHEMA), st.integers(0, 200), st.text(st.characters(codec="ascii"), max_size=2))
def test_truncated_or_garbled_page_converts_alike(text: str, place: int, garbage: str) -> None:
    assert_same(SCHEMA, text.encode()[:place], text[:place] + garbage + text[place + 1 :])


@pytest.mark.parametrize("field", [*FIELDS, "new"])
def test_huge_exponent_in_any_field_converts_alike(field: str) -> None:
    for value in ("1e9999999999999999999", '"1e9999999999999999999"'):
        assert_same(SCHEMA, f'[{{"{field}":{value}}}]')
        assert_same(SCHEMA, f'[{{"{field}":{{"id":{value}}}}},{{"{field}":[{{"id":{value}}}]}}]')


@pytest.mark.parametrize("field", [*FIELDS, "new"])
def test_deep_nesting_in_any_field_converts_alike(field: str) -> None:
    deep = "[" * 200_000 + "]" * 200_000
    for value in (deep, json.dumps(deep)):
        assert_same(SCHEMA, f'[{{"{field}":{value}}}]')


@pytest.mark.parametrize("field", [*FIELDS, "new"])
def test_huge_integer_in_any_field_converts_alike(field: str) -> None:
    for value in ("9" * 5000, f'"{"9" * 5000}"', f"[{'9' * 5000}]", f'{{"id":{"9" * 5000}}}'):
        assert_same(SCHEMA, f'[{{"{field}":{value}}}]', f'[{{"{field}":1}}]')


@pytest.mark.parametrize("field", ["status", "tags", "admins"])
def test_json_text_with_huge_integer_is_a_type_mismatch(field: str) -> None:
    text = f"[{'9' * 5000}]"
    pair = assert_same(SCHEMA, json.dumps([{KEY: None, field: text}]))
    assert pair.page_quality.type_mismatches == {field: 1}
