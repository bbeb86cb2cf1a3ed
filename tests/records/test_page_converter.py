"""A page converted in C holds what `records` makes of its rows, whatever they hold."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tap_campusgroups.exceptions import UnknownFieldError
from tap_campusgroups.records import page_converter, values
from tap_campusgroups.records.converter import EXTRA, Converter, UnknownFields
from tap_campusgroups.records.json_codec import (
    JsonError,
    Raw,
    decode_rows,
    record_lines,
    replace_invalid_unicode,
)
from tap_campusgroups.records.page_converter import PageConverter
from tap_campusgroups.records.quality import DataQualityCounters
from tap_campusgroups.records.values import canonical_timestamp
from tests.simulator import Dataset
from tests.simulator.dataset import tap_schemas
from tests.simulator.timestamps import UNUSUAL_FORMATS, parse_timestamp, to_milliseconds
from tests.support.harness import NEWEST
from tests.support.strategies import (
    BARE_NUMBERS,
    CLOCKS,
    DAYS,
    NAMES,
    NUMBER_TEXTS,
    PADS,
    WORDS,
    ZONES,
    pages,
    schemas,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEY = "updatedOn"
Outcome = tuple[str, str | None, int, int] | type[Exception]
"""Records as text, the newest key, and how many rows had no id; or the class of the error.

The last number says whether characters were replaced.
"""


def maybe(kind: str, **more: Any) -> dict[str, Any]:
    """Write the schema of a field that may be null."""
    return {"type": [kind, "null"], **more}


INSTANT = maybe("string", format="date-time")
DAY = maybe("string", format="date")
NESTED = {
    "id": maybe("integer"),
    "name": maybe("string"),
    "at": INSTANT,
    "day": DAY,
    "is": maybe("boolean"),
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        KEY: INSTANT,
        "count": maybe("integer"),
        "price": maybe("number"),
        "deleted": maybe("boolean"),
        "name": maybe("string"),
        "at": INSTANT,
        "day": DAY,
        "status": maybe("object", properties=NESTED),
        "fee": maybe("object", properties={"amount": maybe("number")}),
        "deep": maybe("object", properties={"in": maybe("object", properties=NESTED)}),
        "tags": maybe("array", items=maybe("object", properties=NESTED)),
        "admins": maybe("array", items=maybe("integer")),
        "answers": maybe("array", items=maybe("string")),
        "instants": maybe("array", items=INSTANT),
        "nested": maybe(
            "array",
            items=maybe(
                "object",
                properties={
                    "tags": maybe("array", items=maybe("object", properties=NESTED)),
                    "days": maybe("array", items=DAY),
                },
            ),
        ),
        EXTRA: maybe("object"),
    },
}
"""A field of every kind."""

FIELDS = tuple(SCHEMA["properties"])

QUOTED = [
    json.dumps(text)
    for text in [
        *NUMBER_TEXTS,
        *WORDS,
        *(f"{day}{clock}{zone}" for day in DAYS for clock in CLOCKS for zone in ZONES[:2]),
        *(f"{day}{clock}{zone}" for day in DAYS[:2] for clock in CLOCKS[:8] for zone in ZONES),
        *(f"{pad}{DAYS[0]}{clock}{pad}" for pad in PADS for clock in CLOCKS[:7]),
    ]
]
SHAPES = [
    *("null", "true", "false", "[]", "{}", "[null]", "[[]]", "[{}]", "[1]", '["1"]', '["null"]'),
    *('["x"]', "[7.5]", "[true]", '["2024-05-01T10:00:00-05:00"]', '[["a"]]', "[ ]", "{ }"),
    *('{"id":1}', '{"id":"1"}', '{"id":"x"}', '{"name":7}', '{"name":null,"id":null}', '{"new":1}'),
    *('{"at":"2024-05-01 10:00:00+02:00"}', '{"at":"soon"}', '{"at":""}', '{"day":"2024-05-01"}'),
    *('{"day":"2024-05-01T00:00:00Z"}', '{"day":"soon"}', '{"is":"TRUE"}', '{"is":2}'),
    *('{"id":1,"id":2}', '{"id":"x","id":2}', '{"id":2,"id":"x"}', '{"in":{}}', '{"in":null}'),
    *('{"in":{"at":"soon","day":"soon"}}', '{"in":{"id":"x"}}', '{"in":[]}', '{"in":"{}"}'),
    *('[{"id":"1","at":"soon","day":"soon"}]', '[{"at":"2024-05-01T10:00:00+02:00"},null,{}]'),
    *('[{"id":"x"}]', '[{"new":1},{"new":2}]', "[5]", '[{"name":{"a":1.50}}]', '{"amount":"1.50"}'),
    *('{"amount":1.50}', '{"amount":"x"}', '[{"tags":[{"at":"soon"},null],"days":["soon",null]}]'),
    *('[{"tags":[{"id":"x"}]}]', '[{"tags":null}]', '[{"tags":"[{}]"}]', '[{"days":"[]"}]'),
    *('"[]"', '"{}"', '"[1]"', '"[1"', '"{\\"id\\":\\"1\\"}"', '"[{\\"id\\":1}]"', '"[\\"x\\"]"'),
]
VALUES = list(dict.fromkeys([*SHAPES, *BARE_NUMBERS, *QUOTED]))
"""JSON of every kind that a field may hold."""


class Ways:
    """One schema and its two converters, which see the same pages one after the other."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        primary_key: str | None = None,
        unknown_fields: UnknownFields = UnknownFields.CAPTURE,
    ) -> None:
        self.exact, self.quick = DataQualityCounters(), DataQualityCounters()
        self._primary_key = primary_key
        self._convert, converter = (
            Converter(
                schema,
                stream="events",
                replication_key=KEY,
                quality=quality,
                unknown_fields=unknown_fields,
            )
            for quality in (self.exact, self.quick)
        )
        self.convert_page = PageConverter(
            schema, converter, replication_key=KEY, primary_key=primary_key
        )

    def row_by_row(self, page: bytes) -> Outcome:
        """Convert a page as the SDK's road does."""
        try:
            rows, others, replaced = decode_rows(Raw(page))
            records = [self._convert(row) for row in rows]
        except (JsonError, UnknownFieldError) as error:
            return type(error)
        kept = [
            record
            for record in records
            if self._primary_key is None or record.get(self._primary_key) is not None
        ]
        keys = (canonical_timestamp(record[KEY]) for record in kept)
        newest = max((key for key in keys if key is not None), default=None)
        return written(kept), newest, len(records) - len(kept) + others, replaced

    def as_a_page(self, page: bytes) -> Outcome:
        """Convert a page as the page road does."""
        try:
            converted = self.convert_page(Raw(page))
        except (JsonError, UnknownFieldError) as error:
            return type(error)
        return (
            written(converted.rows),
            converted.newest,
            converted.rows_without_key,
            converted.has_invalid_unicode,
        )


def written(records: Iterable[Any]) -> str:
    """Write records as a target reads them; types, digits and the order of keys show in it."""
    lines = record_lines("some", records, time_extracted=NEWEST).splitlines()
    # `repr`, for 1 == True and Decimal("7.0") == 7; Decimal, for integers may be of any length.
    return "\n".join(
        repr(_with_extra_sorted(json.loads(line, parse_float=Decimal, parse_int=Decimal)["record"]))
        for line in lines
    )


def _with_extra_sorted(record: dict[str, Any]) -> dict[str, Any]:
    """Put `_extra` last, and what is in it in order: no schema says where it belongs."""
    extra = record.pop(EXTRA, ...)
    if extra is ...:
        return record
    return record | {EXTRA: dict(sorted(extra.items())) if extra else extra}


def assert_alike(schema: Mapping[str, Any], *texts: str | bytes, **options: Any) -> Ways:
    """Convert pages on both ways, and compare what comes of them."""
    ways = Ways(schema, **options)
    for text in texts:
        page = text.encode() if isinstance(text, str) else text
        outcome = ways.as_a_page(page)
        assert outcome == ways.row_by_row(page), page[:300]
        if outcome is UnknownFieldError:
            break  # the run is over, and how much was counted before says nothing
        assert ways.quick == ways.exact, page[:300]
    return ways


# What the service sends


def respelled(value: Any, number: int) -> Any:
    """Spell every instant in a row in one of the odd forms."""
    if isinstance(value, dict):
        return {name: respelled(inner, number) for name, inner in value.items()}
    if isinstance(value, list):
        return [respelled(inner, number) for inner in value]
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]", value):
        instant = parse_timestamp(value)
        assert instant is not None
        return UNUSUAL_FORMATS[number](to_milliseconds(instant))
    return value


@pytest.mark.parametrize("stream", sorted(tap_schemas()))
def test_rows_of_the_service_convert_alike(stream: str) -> None:
    dataset = Dataset(40, newest=NEWEST)
    full = dataset.full_row(stream)
    odd = [respelled(full, number) for number in range(len(UNUSUAL_FORMATS))]
    assert len({str(row) for row in odd}) == len(UNUSUAL_FORMATS)
    ways = assert_alike(
        tap_schemas()[stream],
        json.dumps(dataset[stream]),
        json.dumps(dataset[stream][:1], ensure_ascii=False, indent=1),
        json.dumps([full, *odd]),
        "[]",
    )
    assert ways.quick == DataQualityCounters()


# One value at a time


@pytest.mark.parametrize("field", FIELDS)
def test_each_value_converts_alike(field: str) -> None:
    properties = {name: SCHEMA["properties"][name] for name in (KEY, field, EXTRA)}
    for value in VALUES:
        assert_alike({"properties": properties}, f'[{{"{field}":{value}}}]')


@pytest.mark.parametrize("field", FIELDS)
def test_no_value_spoils_the_next_page(field: str) -> None:
    assert_alike(SCHEMA, *(f'[{{"{field}":{value}}}]' for value in VALUES))


@pytest.mark.parametrize("field", FIELDS)
def test_no_value_spoils_its_neighbours(field: str) -> None:
    good = '{"id":1,"updatedOn":"2024-05-01T10:00:00.000Z"}'
    rows = ",".join(f'{{"{field}":{value}}},{good}' for value in VALUES)
    assert_alike(SCHEMA, f"[{good},{rows}]", f"[{rows}]")


def test_rows_without_an_id_are_left_out_alike() -> None:
    rows = [f'{{"{KEY}":"2024-05-01T10:00:00.000Z","id":{value}}}' for value in VALUES]
    rows += ["{}", '{"name":"a"}', '{"new":1}']
    ways = assert_alike(SCHEMA, *(f"[{row}]" for row in rows), primary_key="id")
    every_one = f"[{','.join([*rows, *rows])}]"
    assert_alike(SCHEMA, every_one, every_one, primary_key="id")
    for page, without in (('[{"id":0}]', 0), ('[{"id":"0"}]', 0), ('[{"id":null},{},{"id":1}]', 2)):
        assert ways.convert_page(Raw(page.encode())).rows_without_key == without


@pytest.mark.parametrize("mode", UnknownFields)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_an_unknown_field_is_dealt_with_alike(name: str, mode: UnknownFields) -> None:
    key = json.dumps(name)
    pages = [
        f"[{{{key}:1}},{{{key}:[1e400]}},{{}}]",
        f'[{{"status":{{{key}:1}},"tags":[{{{key}:2}}]}}]',
    ]
    ways = assert_alike(SCHEMA, *pages, unknown_fields=mode)
    assert ways.convert_page(Raw(b'[{"id":1}]')).rows
    if mode is UnknownFields.FAIL:
        for page in pages:
            assert assert_alike(SCHEMA, page, unknown_fields=mode).quick.unknown_fields
    else:
        assert sum(unknown.count for unknown in ways.quick.unknown_fields.values()) == 4


def test_the_newest_key_is_found_among_all_forms() -> None:
    keys = [
        *("2024-05-01T10:00:00.123Z", "2024-05-01T10:00:00.124Z", "2024-05-01T10:00:00.124500Z"),
        *("2024-05-01T15:30:00.125+05:30", "2024-05-01 10:00:00.126", "2024-05-02", "2024-05-01"),
        *(
            "2024-05-02T05:00:00-05:00",
            "2024-05-02T10:00:00,001Z",
            "soon",
            "",
            "9999-12-31T23:00-05:00",
        ),
    ]
    newest = [
        *("10:00:00.123000", "10:00:00.124000", "10:00:00.124500", "10:00:00.125000"),
        "10:00:00.126000",
    ]
    rows = [json.dumps({KEY: key}) for key in keys]
    for number, clock in enumerate(newest):
        for order in (rows[: number + 1], rows[number::-1]):
            page = f"[{','.join(order)}]".encode()
            found = Ways(SCHEMA).convert_page(Raw(page)).newest
            assert found == f"2024-05-01T{clock}Z"
    assert_alike(SCHEMA, *(f"[{','.join(rows[:end])}]" for end in range(len(rows) + 1)))
    every_one = Ways(SCHEMA).convert_page(Raw(f"[{','.join(rows)}]".encode()))
    assert every_one.newest == "2024-05-02T10:00:00.001000Z"


@pytest.mark.parametrize(
    ("row", "keys"),
    [
        ("{}", []),
        ('{"name":"a","id":1}', ["id", "name"]),
        ('{"name":null,"new":1,"updatedOn":null,"id":1}', ["id", "updatedOn", "name"]),
        ('{"name":7,"updatedOn":"soon","id":"x"}', ["id", "updatedOn", "name"]),
        ('{"_extra":1,"name":"a","name":"b","id":1}', ["id", "name"]),
    ],
)
def test_keys_are_in_the_order_of_the_schema_and_absent_ones_stay_absent(
    row: str, keys: list[str]
) -> None:
    expected = sorted({*keys, KEY, EXTRA}, key=FIELDS.index)
    page = Ways(SCHEMA).convert_page(Raw(f"[{row}]".encode()))
    (record,) = (json.loads(msgspec.json.encode(row)) for row in page.rows)
    assert list(record) == expected
    assert_alike(SCHEMA, f"[{row}]")


def test_the_end_of_a_day_is_read_alike_from_python_3_14_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Later(datetime):
        """Reads 24:00 as the next day's midnight, as Python 3.14 does."""

        @classmethod
        def fromisoformat(cls, text: str) -> datetime:  # type: ignore[override]
            if text[11:19] != "24:00:00":
                return datetime.fromisoformat(text)
            return datetime.fromisoformat(text.replace("T24", "T00")) + timedelta(days=1)

    for module in (page_converter, values):
        monkeypatch.setattr(module, "datetime", Later)
    page = '[{"updatedOn":"2024-05-01T24:00:00.000Z","at":"2024-05-01T24:00:00.000Z"}]'
    assert_alike(SCHEMA, page)
    assert Ways(SCHEMA).convert_page(Raw(page.encode())).newest == "2024-05-02T00:00:00.000000Z"


# Anything, again and again

STABLE = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@settings(STABLE, max_examples=120)
@given(
    st.lists(pages(SCHEMA), max_size=3),
    st.sampled_from([None, None, "id"]),
    st.sampled_from([*UnknownFields, UnknownFields.CAPTURE]),
)
@example(["[]"], "id", UnknownFields.CAPTURE)
@example(['[{"id":"x"}]', '[{"id":1}]', '[{"id":"1","count":"x"}]'], None, UnknownFields.CAPTURE)
@example(['[{"new":1}]', '[{"new":[],"other":{}}]', '[{"id":1}]'], None, UnknownFields.IGNORE)
def test_pages_of_drifted_rows_convert_alike(
    texts: list[str], primary_key: str | None, unknown_fields: UnknownFields
) -> None:
    assert_alike(SCHEMA, *texts, primary_key=primary_key, unknown_fields=unknown_fields)


@cache
def pages_of(stream: str) -> st.SearchStrategy[list[str]]:
    """Draw pages of a stream of the tap."""
    return st.lists(pages(tap_schemas()[stream], rows=2), min_size=1, max_size=2)


@pytest.mark.parametrize("stream", sorted(tap_schemas()))
@settings(STABLE, max_examples=15)
@given(data=st.data())
def test_drifted_rows_of_every_stream_convert_alike(stream: str, data: st.DataObject) -> None:
    assert_alike(tap_schemas()[stream], *data.draw(pages_of(stream)))


@settings(STABLE, max_examples=80)
@given(st.data())
def test_a_catalog_of_the_user_s_own_converts_alike(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    texts = data.draw(st.lists(pages(schema), min_size=1, max_size=2))
    assert_alike(schema, *texts)
    if "id" in schema["properties"]:
        assert_alike(schema, *texts, primary_key="id")


# Pages that are none

BAD = [
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
BAD_VALUES = [
    *(b'"\\x"', b'"\\u12"', b"tr", b"1.", b"1e", b"-", b"01", b"[1,]", b'{"a"}'),
    *(b'{"a":1,}', b'"', b"'a'", b'"\xff', b'"\\ud800', b'["\xff"', b"{\xff:1}", b"\xff"),
]
BAD_CHARACTERS = [
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


@pytest.mark.parametrize("page", BAD, ids=repr)
def test_a_page_that_is_none_is_the_same_error(page: bytes) -> None:
    ways = assert_alike(SCHEMA, page, b'[{"id":1,"updatedOn":"2024-05-01"}]', page)
    assert isinstance(ways.as_a_page(page), type)
    assert ways.quick == DataQualityCounters()
    assert DataQualityCounters() == assert_alike(SCHEMA, page, primary_key="id").quick


@pytest.mark.parametrize("field", [*FIELDS, "new", 'a"b'])
def test_bad_json_in_any_field_is_the_same_error(field: str) -> None:
    for value in BAD_VALUES:
        page = b'[{"id":1},{%s:%s}]' % (json.dumps(field).encode(), value)
        ways = assert_alike(SCHEMA, page, b'[{"id":1,"updatedOn":"2024-05-01"}]', page)
        assert isinstance(ways.as_a_page(page), type), value


@pytest.mark.parametrize("field", [*FIELDS, "new", 'a"b'])
def test_bad_characters_in_any_field_are_replaced_alike(field: str) -> None:
    name = json.dumps(field).encode()
    odd = b"deleted" if field == "count" else b"count"
    for before in (b"", b'{"id":"x"},', b'{"new":1,"at":"soon"},', b'{"a\\nb":1},'):
        for value in BAD_CHARACTERS:
            page = b'[%s{%s:%s,"%s":"x"},{"id":2}]' % (before, name, value, odd)
            assert_alike(SCHEMA, page, b'[{"id":1,"updatedOn":"2024-05-01"}]', page)


@pytest.mark.parametrize(
    "key", [b'"\xff"', b'"\\ud800"', b'"a', b"a", b"1", b"null", b'"\\x"'], ids=repr
)
def test_a_bad_key_is_treated_alike(key: bytes) -> None:
    for page in (b"[{%s:1}]" % key, b'[{"status":{%s:1}}]' % key, b'[{"new":{%s:1}}]' % key):
        assert_alike(SCHEMA, page, b'[{"id":"x","new":2}]', page)


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
def test_halves_of_pairs_are_replaced_and_whole_ones_are_not(text: str) -> None:
    replaced = replace_invalid_unicode(f'"{text}"'.encode())
    # Python joins pairs and lets bisect be.
    expected = re.sub("[\ud800-\udfff]", "\ufffd", json.loads(f'"{text}"'))
    assert json.loads(replaced) == expected


@settings(STABLE, max_examples=60)
@given(pages(SCHEMA), st.integers(0, 200), st.text(st.characters(codec="ascii"), max_size=2))
def test_a_page_that_is_cut_off_or_garbled_converts_alike(
    text: str, place: int, garbage: str
) -> None:
    assert_alike(SCHEMA, text.encode()[:place], text[:place] + garbage + text[place + 1 :])


@pytest.mark.parametrize("field", [*FIELDS, "new"])
def test_an_exponent_beyond_all_numbers_is_no_crash(field: str) -> None:
    for value in ("1e9999999999999999999", '"1e9999999999999999999"'):
        assert_alike(SCHEMA, f'[{{"{field}":{value}}}]')
        assert_alike(SCHEMA, f'[{{"{field}":{{"id":{value}}}}},{{"{field}":[{{"id":{value}}}]}}]')


@pytest.mark.parametrize("field", [*FIELDS, "new"])
def test_json_nested_too_deeply_is_no_crash(field: str) -> None:
    deep = "[" * 200_000 + "]" * 200_000
    for value in (deep, json.dumps(deep)):
        assert_alike(SCHEMA, f'[{{"{field}":{value}}}]')


@pytest.mark.parametrize("field", [*FIELDS, "new"])
def test_a_number_of_thousands_of_digits_is_treated_alike(field: str) -> None:
    for value in ("9" * 5000, f'"{"9" * 5000}"', f"[{'9' * 5000}]", f'{{"id":{"9" * 5000}}}'):
        assert_alike(SCHEMA, f'[{{"{field}":{value}}}]', f'[{{"{field}":1}}]')


@pytest.mark.parametrize("field", ["status", "tags", "admins"])
def test_json_text_with_a_number_of_thousands_of_digits_is_kept(field: str) -> None:
    text = f"[{'9' * 5000}]"
    ways = assert_alike(SCHEMA, json.dumps([{KEY: None, field: text}]))
    assert ways.quick.type_mismatches == {field: 1}


# Catalogs of the user's own

OF_SEVERAL = {"type": ["integer", "string", "null"]}
PROPERTIES: dict[str, dict[str, Any]] = {
    "without a type": {"id": {}, "any": {}, "at": {"format": "date-time"}},
    "of several types": {"id": OF_SEVERAL, KEY: OF_SEVERAL, "name": {"type": ["object", "string"]}},
    "null only": {"id": {"type": "null"}, "name": {"type": ["null"]}, "any": {"type": []}},
    "types without the null": {"id": {"type": "integer"}, "name": {"type": "string"}},
    "objects without properties": {"status": {"type": "object"}, "tags": maybe("array")},
    "objects with no properties": {"status": maybe("object", properties={})},
    "arrays of anything": {"tags": maybe("array", items={})},
    "arrays of arrays": {"tags": maybe("array", items=maybe("array", items=maybe("integer")))},
    "arrays of arrays of objects": {
        "tags": maybe("array", items=maybe("array", items=maybe("object", properties=NESTED)))
    },
    "arrays of objects with no type": {"tags": maybe("array", items={"properties": NESTED})},
    "arrays of objects of several types": {
        "tags": maybe("array", items={"type": ["object", "string"], "properties": NESTED})
    },
    "arrays of texts with properties": {
        "tags": maybe("array", items={"type": "string", "properties": NESTED})
    },
    "properties of no object": {"status": {"properties": NESTED}, "name": {"items": {}}},
    "an object deep inside that may be anything": {
        "status": maybe("object", properties={"id": maybe("integer"), "any": {}})
    },
    "other formats": {
        "name": maybe("string", format="uuid"),
        "id": maybe("integer", format="date"),
    },
    "an id of any type": {"id": {}},
    "an id that is an object": {"id": maybe("object", properties=NESTED)},
    "an id that is an array": {
        "id": maybe("array", items={"type": "object", "properties": NESTED})
    },
    "no updatedOn": {"id": {"type": "integer"}, "name": maybe("string")},
    "updatedOn in the midst": {"id": {"type": "integer"}, KEY: maybe("string"), "name": {}},
    "updatedOn as a number": {KEY: maybe("number"), "id": maybe("integer")},
    "updatedOn as an object": {KEY: maybe("object", properties=NESTED), "id": maybe("integer")},
    "nothing": {},
    "names that Python has": {name: maybe("integer") for name in ("class", "None", "def", "self")},
    "names that are no names": {
        name: maybe("integer") for name in ("", " ", "a b", "a.b", "1", "é")
    },
    "names of our own": {name: maybe("integer") for name in ("_extra", "f0", "f1", "f2")},
    "names that need escapes": {'a"b': maybe("integer"), "a\\b": maybe("string"), "a\n": INSTANT},
    "names that need escapes, nested": {
        "status": maybe("object", properties={'a"b': maybe("integer"), "\0": INSTANT}),
        "tags": maybe("array", items={"type": "object", "properties": {"\\": maybe("integer")}}),
    },
}


@pytest.mark.parametrize("properties", PROPERTIES.values(), ids=PROPERTIES)
def test_a_schema_of_the_user_s_own_converts_alike(properties: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": properties}
    fields = [*properties, "new"]
    rows = [
        f'{{"{KEY}":"2024-05-01T10:00:00+02:00",{json.dumps(field)}:{value}}}'
        for field in fields
        for value in [*SHAPES, "1", '"1"', '"x"', "7.50", '"2024-05-01T10:00:00+02:00"']
    ]
    inner = dict.fromkeys(NAMES, "1")
    nested = [json.dumps({KEY: None, field: inner}) for field in fields]
    nested += [json.dumps({KEY: None, field: [inner]}) for field in fields]
    every_one = json.dumps({KEY: "soon", **dict.fromkeys(fields, 1)})
    assert_alike(schema, f"[{every_one}]", *(f"[{row}]" for row in [*rows, *nested]))
    assert_alike(schema, f"[{','.join([*rows, *nested, every_one])}]")
    for row in rows:
        assert_alike(schema, f"[{row}]")
    if "id" in properties:
        assert_alike(schema, f"[{','.join([*rows, *nested, every_one])}]", primary_key="id")


# What unusual values cost


def test_what_the_service_sends_and_numbers_as_text_are_left_to_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("converted value by value")

    monkeypatch.setattr(Converter, "convert_field", refuse)
    key = "2024-05-01T10:00:00.123Z"
    rows: list[dict[str, Any]] = [
        {"id": 1, "at": "2024-05-01T10:00:00+02:00", "count": 7},
        {"id": "7", "count": "null", "deleted": "TRUE", "name": "", "status": {"id": "8"}},
        {"id": 7.0, "count": None, "deleted": 0, "day": "2024-05-01T00:00:00Z", "admins": ["1"]},
        {"id": "1", "deleted": "0", "tags": [{"id": "1", "at": "2024-05-01", "is": "1"}, None]},
        {"id": 1, "deep": {"in": {"at": "2024-05-01", "id": "2"}}, "answers": ["a", None]},
        {"id": 1, "updatedOn": "2024-05-01T10:00:00+02:00"},
    ]
    convert_page = Ways(SCHEMA, primary_key="id").convert_page
    for row in rows:
        (_,) = convert_page(Raw(json.dumps([{KEY: key, **row}]).encode())).rows


@pytest.mark.parametrize("field", FIELDS)
def test_rows_stay_structs_after_a_value_that_does_not_fit(field: str) -> None:
    convert_page = Ways(SCHEMA).convert_page
    for page in (
        f'[{{"{field}":{{"id":"x"}},"new":1}}]',
        *('[{"id":1}]', '[{"id":"x"}]', '[{"at":"soon"}]', '[{"updatedOn":"soon"}]'),
        f'[{{"{field}":7,"new":2}},{{"name":"a"}}]',
    ):
        rows = convert_page(Raw(page.encode())).rows
        assert rows
        assert all(isinstance(row, msgspec.Struct) for row in rows)


def test_a_value_that_does_not_fit_makes_no_new_structs_page_after_page() -> None:
    convert_page = Ways(SCHEMA).convert_page
    page = Raw(b'[{"id":"x","status":{"id":"x"},"new":1,"at":"soon","updatedOn":"soon"}]')
    assert len({type(row) for _ in range(5) for row in convert_page(page).rows}) == 1


@pytest.mark.parametrize("odd", ['{"id":1,"id":2}', '{"id":"x","id":1}', '{"a\\"b":1}'])
def test_rows_are_structs_again_after_a_page_that_none_can_hold(odd: str) -> None:
    convert_page = Ways(SCHEMA).convert_page
    assert convert_page(Raw(f"[{odd}]".encode())).rows
    for page in (b'[{"id":1}]', b'[{"name":7}]', b"[{}]"):
        (row,) = convert_page(Raw(page)).rows
        assert isinstance(row, msgspec.Struct)


def test_fields_that_are_new_in_every_row_do_not_make_rows_ever_wider() -> None:
    ways = Ways(SCHEMA)
    for number in range(20):
        page = json.dumps([{KEY: None, f"new{number}-{row}": 1} for row in range(100)]).encode()
        rows = ways.convert_page(Raw(page)).rows
        ways.row_by_row(page)
    assert ways.quick == ways.exact
    assert len(getattr(type(rows[0]), "__struct_fields__", ())) < 1000
