"""Rows that break the inference of types, and what a reader makes of them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tests.support.loaded_values import comparable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ROWS_BEFORE: Final = 25_000
"""More than the sample of any reader; in DuckDB, it has 20,480 rows."""

_NAME: Final = "x" * 100  # PyArrow infers types per block of 1 MiB


def maybe(kind: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a nullable field."""
    return {"type": [kind, "null"], **more}


@dataclass(frozen=True)
class Case:
    """A file in which the last row differs from all rows before it.

    Attributes:
        definition: Schema of the field `value`.
        usual: JSON of the field in all other rows.
        last: JSON of the field in the last row.
    """

    definition: Mapping[str, Any]
    usual: str
    last: str

    @property
    def schema(self) -> dict[str, Any]:
        """The schema of the stream."""
        timestamp = maybe("string", format="date-time")
        properties = {
            "id": {"type": "integer"},
            "updatedOn": timestamp,
            "name": maybe("string"),
            "value": self.definition,
        }
        return {"type": "object", "properties": properties}

    def write(self, path: Path, rows_before: int = ROWS_BEFORE) -> None:
        """Write the file as target-jsonl does."""
        texts = [*[self.usual] * rows_before, self.last]
        path.write_text(
            "".join(
                f'{{"id": {number}, "updatedOn": null, "name": "{_NAME}", "value": {text}}}\n'
                for number, text in enumerate(texts)
            ),
            encoding="utf-8",
        )

    def outcome(self, read_last: Callable[[], Any]) -> str:
        """Return what a reader makes of the last value: `exact`, `text`, `error` or `lost`."""
        try:
            value = read_last()
        except Exception:  # noqa: BLE001 - each reader has its own
            return "error"
        expected = json.loads(self.last, parse_float=Decimal)
        if self._equal(parsed(self.definition, value), expected):
            return "exact"
        return "text" if self._equal(_without_text(value), expected) else "lost"

    def _equal(self, value: Any, expected: Any) -> bool:
        try:
            return bool(comparable(self.definition, value) == comparable(self.definition, expected))
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
            return False  # of another type


def parsed(definition: Mapping[str, Any], value: Any) -> Any:
    """Return a value in one form, with JSON text parsed where a reader has it for objects."""
    if isinstance(value, str) and {"object", "array"} & set(definition["type"]):
        return json.loads(value, parse_float=Decimal)
    if isinstance(value, datetime) and definition.get("format") == "date":
        return value.date() if value.time() == time() else value
    return _converted(value)


def _converted(value: Any) -> Any:
    match value:
        case float():
            return Decimal(str(value))
        case dict():
            return {name: _converted(one) for name, one in value.items()}
        case list():
            return [_converted(one) for one in value]
        case _:
            return value


def _without_text(value: Any) -> Any:
    """Return a value with the meaning of its JSON text, which some inferred columns have."""
    match value:
        case dict():
            return {name: _without_text(one) for name, one in value.items()}
        case list():
            return [_without_text(one) for one in value]
        case str():
            with suppress(ValueError):
                return json.loads(value, parse_float=Decimal)
    return value


_EXTRA: Final = maybe("object")
_LOOKUP: Final = maybe("object", properties={"id": maybe("integer"), "name": maybe("string")})
_OPTIONS: Final = maybe("array", items=maybe("object", properties={"fee": maybe("number")}))
_TIME: Final = maybe("string", format="date-time")

CASES: Final[Mapping[str, Case]] = {
    "`_extra` after nulls": Case(_EXTRA, "null", '{"newField": "x"}'),
    "object after nulls": Case(_LOOKUP, "null", '{"id": 1, "name": "x"}'),
    "object after `{}`": Case(_LOOKUP, "{}", '{"id": 1, "name": "x"}'),
    "null after objects": Case(_LOOKUP, '{"id": 1, "name": "x"}', "null"),
    "integers after empty arrays": Case(
        maybe("array", items=maybe("integer")), "[]", "[9007199254740993, null]"
    ),
    "objects after empty arrays": Case(_OPTIONS, "[]", '[{"fee": 12.5}]'),
    "objects after `[null]`": Case(_OPTIONS, "[null]", '[{"fee": 12.5}]'),
    "integer above 2^53 after nulls": Case(maybe("integer"), "null", "9007199254740993"),
    "integer of 2^63": Case(maybe("integer"), "7", "9223372036854775808"),
    "amount of 15 digits": Case(maybe("number"), "1.5", "1234567890123.45"),
    "decimal of 29 digits": Case(maybe("number"), "1.5", "12345678901234567890.123456789"),
    "decimal with 10 places": Case(maybe("number"), "1.5", "123456789.0123456789"),
    "decimal of 29 digits in an array": Case(
        _OPTIONS, '[{"fee": 1.5}]', '[{"fee": 12345678901234567890.123456789}]'
    ),
    "decimal of 21 digits in `_extra`": Case(
        _EXTRA, '{"newField": 1.5}', '{"newField": 0.123456789012345678901}'
    ),
    "text of digits": Case(maybe("string"), '"017"', '"007"'),
    "time with `Z` after times without": Case(
        _TIME, '"2024-05-01T10:00:00"', '"2024-05-01T10:00:00.123456Z"'
    ),
    "time of the year 1": Case(_TIME, '"2024-05-01T10:00:00Z"', '"0001-01-01T00:00:00Z"'),
    "date of the year 9999": Case(maybe("string", format="date"), '"2024-05-01"', '"9999-12-31"'),
}
