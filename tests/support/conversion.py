"""Comparison of pages converted as a whole with the same pages converted row by row."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings

from tap_campusgroups.exceptions import StreamError
from tap_campusgroups.records.converter import EXTRA, Converter, UnknownFields
from tap_campusgroups.records.json_codec import JsonError, Raw, decode_rows, record_lines
from tap_campusgroups.records.page_converter import PageConverter
from tap_campusgroups.records.quality import DataQualityCounters
from tap_campusgroups.records.text_values import text_record, text_schema
from tap_campusgroups.records.values import ValueFormat, canonical_timestamp
from tests.support.harness import NEWEST
from tests.support.strategies import BARE_NUMBERS, CLOCKS, DAYS, NUMBER_TEXTS, PADS, WORDS, ZONES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


KEY = "updatedOn"
Response = tuple[str, str | None, int, bool] | type[Exception]
"""Records as text, newest key, rows without id, invalid Unicode; or the class of the error."""


def maybe(kind: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a nullable field."""
    return {"type": [kind, "null"], **more}


TIMESTAMP = maybe("string", format="date-time")
DAY = maybe("string", format="date")
NESTED = {
    "id": maybe("integer"),
    "name": maybe("string"),
    "at": TIMESTAMP,
    "day": DAY,
    "is": maybe("boolean"),
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        KEY: TIMESTAMP,
        "count": maybe("integer"),
        "price": maybe("number"),
        "deleted": maybe("boolean"),
        "name": maybe("string"),
        "at": TIMESTAMP,
        "day": DAY,
        "status": maybe("object", properties=NESTED),
        "fee": maybe("object", properties={"amount": maybe("number")}),
        "deep": maybe("object", properties={"in": maybe("object", properties=NESTED)}),
        "tags": maybe("array", items=maybe("object", properties=NESTED)),
        "admins": maybe("array", items=maybe("integer")),
        "answers": maybe("array", items=maybe("string")),
        "times": maybe("array", items=TIMESTAMP),
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
"""A schema with a field of every kind."""

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
STRUCTURES = [
    *("null", "true", "false", "[]", "{}", "[null]", "[[]]", "[{}]", "[1]", '["1"]', '["null"]'),
    *('["x"]', "[7.5]", "[true]", '["2024-05-01T10:00:00-05:00"]', '[["a"]]', "[ ]", "{ }"),
    *('{"id":1}', '{"id":"1"}', '{"id":"x"}', '{"name":7}', '{"name":null,"id":null}'),
    *('{"new":1}', '{"at":"2024-05-01 10:00:00+02:00"}', '{"at":"soon"}', '{"at":""}'),
    *('{"day":"2024-05-01"}', '{"day":"2024-05-01T00:00:00Z"}', '{"day":"soon"}', '{"is":"TRUE"}'),
    *('{"is":2}', '{"id":1,"id":2}', '{"id":"x","id":2}', '{"id":2,"id":"x"}', '{"in":{}}'),
    *('{"in":null}', '{"in":{"at":"soon","day":"soon"}}', '{"in":{"id":"x"}}', '{"in":[]}'),
    *('{"in":"{}"}', '[{"id":"1","at":"soon","day":"soon"}]'),
    *('[{"at":"2024-05-01T10:00:00+02:00"},null,{}]', '[{"id":"x"}]', '[{"new":1},{"new":2}]'),
    *("[5]", '[{"name":{"a":1.50}}]', '{"amount":"1.50"}', '{"amount":1.50}', '{"amount":"x"}'),
    *('[{"tags":[{"at":"soon"},null],"days":["soon",null]}]', '[{"tags":[{"id":"x"}]}]'),
    *('[{"tags":null}]', '[{"tags":"[{}]"}]', '[{"days":"[]"}]', '"[]"', '"{}"', '"[1]"', '"[1"'),
    *('"{\\"id\\":\\"1\\"}"', '"[{\\"id\\":1}]"', '"[\\"x\\"]"'),
]
VALUES = list(dict.fromkeys([*STRUCTURES, *BARE_NUMBERS, *QUOTED]))
"""JSON texts of every kind for a field."""


FORMATS = {
    "native": ValueFormat(),
    "nested": ValueFormat(nested_as_text=True),
    "decimals": ValueFormat(decimals_as_text=True),
    "all": ValueFormat(
        nested_as_text=True, decimals_as_text=True, time_zone=ZoneInfo("America/New_York")
    ),
}
"""Combinations of the settings for values."""


class ConverterPair:
    """The two converters of a schema, which convert the same pages."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        primary_key: str | None = None,
        unknown_fields: UnknownFields = UnknownFields.CAPTURE,
        value_format: ValueFormat = FORMATS["native"],
    ) -> None:
        self._format, self.schema = value_format, text_schema(schema, value_format)
        self.row_quality, self.page_quality = DataQualityCounters(), DataQualityCounters()
        self._primary_key = primary_key
        self._convert, converter = (
            Converter(
                schema,
                stream="events",
                replication_key=KEY,
                quality=quality,
                unknown_fields=unknown_fields,
                value_format=value_format,
            )
            for quality in (self.row_quality, self.page_quality)
        )
        self.convert_page = PageConverter(
            *(schema, converter),
            replication_key=KEY,
            primary_key=primary_key,
            value_format=value_format,
        )

    def row_by_row(self, page: bytes) -> Response:
        """Convert a page like the SDK's path."""
        try:
            rows, non_object_rows, has_invalid_unicode = decode_rows(Raw(page))
            records = [self._convert(row) for row in rows]
        except (JsonError, StreamError) as error:
            return type(error)
        kept = [
            record
            for record in records
            if self._primary_key is None or record.get(self._primary_key) is not None
        ]
        keys = (canonical_timestamp(record[KEY]) for record in kept)
        newest = max((key for key in keys if key is not None), default=None)
        rows_without_key = len(records) - len(kept) + non_object_rows
        fields = self.schema["properties"]
        records = [text_record(record, fields, self._format) for record in kept]
        return as_written(records), newest, rows_without_key, has_invalid_unicode

    def as_page(self, page: bytes) -> Response:
        """Convert a page like the fast path."""
        try:
            converted = self.convert_page(Raw(page))
        except (JsonError, StreamError) as error:
            return type(error)
        return (
            as_written(converted.rows, decimals_as_text=self._format.decimals_as_text),
            converted.newest,
            converted.rows_without_key,
            converted.has_invalid_unicode,
        )


def as_written(records: Iterable[Any], *, decimals_as_text: bool = False) -> str:
    """Return records as a target reads them, with types, digits and the order of keys."""
    lines = record_lines(
        "some", records, time_extracted=NEWEST, decimals_as_text=decimals_as_text
    ).splitlines()
    # `repr` because 1 == True and Decimal("7.0") == 7; Decimal because `int` limits the digits.
    return "\n".join(
        repr(_with_extra_last(json.loads(line, parse_float=Decimal, parse_int=Decimal)["record"]))
        for line in lines
    )


def _with_extra_last(record: dict[str, Any]) -> dict[str, Any]:
    """Move `_extra` to the end, because its place is not part of a schema."""
    return record | {EXTRA: record.pop(EXTRA)} if EXTRA in record else record


def assert_same(schema: Mapping[str, Any], *texts: str | bytes, **options: Any) -> ConverterPair:
    """Convert pages with both converters; check that records and data quality are the same."""
    pair = ConverterPair(schema, **options)
    for text in texts:
        page = text.encode() if isinstance(text, str) else text
        outcome = pair.as_page(page)
        assert outcome == pair.row_by_row(page), page[:300]
        if outcome is StreamError:
            break  # the run ends here, with incomplete counts
        assert pair.page_quality == pair.row_quality, page[:300]
    return pair


STABLE = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
