"""The files of target-jsonl as PyArrow tables, with all values exact.

Pandas and Polars take the tables over: see docs/readers.md. Needs `pip install pyarrow` only.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from examples.readers.schemas import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from examples.readers.schemas import Kind, Schema

MONEY: Final = pa.decimal128(38, 9)

_TYPES: Final[Mapping[Kind, pa.DataType]] = {
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "date-time": pa.timestamp("us"),
    "date": pa.date32(),
    "json": pa.string(),
}

_LINES_PER_BATCH: Final = 10_000


def arrow_schema(schema: Schema, *, number: pa.DataType = MONEY) -> pa.Schema:
    """Return the columns of a stream.

    Args:
        schema: The stream's JSON schema.
        number: Type of numbers with a decimal point.
    """
    return pa.schema(_fields(schema, number))


def _fields(schema: Schema, number: pa.DataType) -> list[tuple[str, pa.DataType]]:
    return [(name, _type_of(field, number)) for name, field in schema["properties"].items()]


def _type_of(definition: Schema, number: pa.DataType) -> pa.DataType:
    match kind_of(definition):
        case "number":
            return number
        case "object":
            return pa.struct(_fields(definition, number))
        case "array":
            return pa.list_(_type_of(definition["items"], number))
        case kind:
            return _TYPES[kind]


def read(path: Path | str, schema: Schema) -> pa.Table:
    """Read a file; a value that its column cannot hold exactly is an error."""
    columns = arrow_schema(schema)
    return pa.Table.from_batches(
        (pa.RecordBatch.from_pylist(rows, columns) for rows in _batches(path, schema)), columns
    )


def _batches(path: Path | str, schema: Schema) -> Iterator[list[dict[str, Any]]]:
    parse = _object_parser(schema)
    with open(path, encoding="utf-8") as lines:  # noqa: PTH123 - accepts text, too
        while batch := list(islice(lines, _LINES_PER_BATCH)):
            yield [parse(json.loads(line, parse_float=Decimal)) for line in batch]


def _object_parser(schema: Schema) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    plain = dict.fromkeys(schema["properties"])
    parsers = [(name, _parser(field)) for name, field in schema["properties"].items()]
    needed = [(name, parse) for name, parse in parsers if parse is not None]

    def parse_object(value: Mapping[str, Any]) -> dict[str, Any]:
        row = {**plain, **value}
        for name, parse in needed:
            if row[name] is not None:
                row[name] = parse(row[name])
        return row

    return parse_object


def _parser(definition: Schema) -> Callable[[Any], Any] | None:
    """Return a function that converts a value as JSON has it; `None` if it is right as it is."""
    match kind_of(definition):
        case "object":
            return _object_parser(definition)
        case "array":
            parse = _parser(definition["items"])
            return parse and (lambda items: [one if one is None else parse(one) for one in items])
        case kind:
            return _PARSERS.get(kind)


def _timestamp(text: str) -> datetime:
    timestamp = datetime.fromisoformat(text)
    return timestamp if timestamp.tzinfo is None else timestamp.astimezone(UTC)


def _json(value: Any) -> str:
    """Return JSON text with the digits of decimals, which `json.dumps` refuses."""
    match value:
        case Decimal():
            return str(value)
        case dict():
            return f"{{{', '.join(f'{_json(name)}: {_json(one)}' for name, one in value.items())}}}"
        case list():
            return f"[{', '.join(map(_json, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


_PARSERS: Final[Mapping[Kind, Callable[[Any], object]]] = {
    "date-time": _timestamp,
    "date": date.fromisoformat,
    "json": _json,
}


def newest(table: pa.Table) -> pa.Table:
    """Return the newest row of each id: target-jsonl appends, and rows arrive again."""
    best: dict[Any, tuple[bool, datetime | None, int]] = {}
    pairs = zip(table["id"].to_pylist(), table["updatedOn"].to_pylist(), strict=True)
    for line, (key, updated) in enumerate(pairs):
        version = (updated is not None, updated, line)
        best[key] = max(version, best.get(key, version))
    return table.take(pa.array(sorted(line for *_, line in best.values()), pa.int64()))
