"""The types of mapped values: the SDK declares them without looking at an expression's result."""

from __future__ import annotations

import typing as t
from datetime import date
from decimal import Decimal

from tap_campusgroups.config import quoted
from tap_campusgroups.records.converter import single_type

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_campusgroups.records.converter import Schema

ColumnTypes: t.TypeAlias = "Mapping[str, tuple[str, frozenset[type]]]"
"""The declared type of each column, and the types of values that it holds."""

_TYPES: t.Final[dict[str, frozenset[type]]] = {
    "string": frozenset({str}),
    "integer": frozenset({int}),
    "number": frozenset({int, float, Decimal}),
    "boolean": frozenset({bool}),
    "object": frozenset({dict}),
    "array": frozenset({list}),
}
_CASTS: t.Final = {str: "str", int: "int", float: "float", bool: "bool"}


def column_types(schema: Schema) -> ColumnTypes:
    """Return the types of the columns that have exactly one type besides null."""
    found = {name: single_type(one) for name, one in schema["properties"].items()}
    return {name: (kind, _TYPES[kind]) for name, kind in found.items() if kind}


def type_problem(record: Mapping[str, t.Any], columns: ColumnTypes) -> str | None:
    """Return which value of a record is not of its column's type, and the fix, if there is one."""
    for name, value in record.items():
        if value is not None and name in columns:
            kind, accepted = columns[name]
            is_date = kind == "string" and isinstance(value, date)
            if type(value) not in accepted and not is_date:
                cast = _CASTS.get(type(value), "str")
                return (
                    f"a value of another type for {quoted(name)}, which is declared as {kind}. "
                    f"Wrap the whole expression in {cast}(...)."
                )
    return None
