"""What a stream's rows held that its schema does not foresee, counted by field.

Only names, numbers and types are kept here, for they go into the log; values never do.
"""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from tap_campusgroups.records.values import parse_timestamp

MAX_UNKNOWN_NAMES: t.Final = 20
"""Names of unknown fields that are told of a stream; if there are more, they may well be data."""

TOO_MANY_NAMES: t.Final = f"(more than {MAX_UNKNOWN_NAMES} names)"

_LONGEST_NAME: t.Final = 40
_FIELD_NAME = re.compile(r"[a-z]+(?:[A-Z][a-z]*)*[0-9]?")  # so are all of the specification
_TYPES: t.Final[dict[type, str]] = {
    bool: "boolean",
    int: "integer",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
}


@dataclass(slots=True)
class UnknownFieldStats:
    """A field that the schema does not have.

    Attributes:
        count: How often it came.
        types: The JSON types of its values; `date-time` for text that is an instant.
    """

    count: int = 0
    types: set[str] = field(default_factory=set)

    @property
    def suggested_type(self) -> str:
        """The type that a schema could give it."""
        types = self.types - {"null"}
        if types == {"integer", "number"}:
            types = {"number"}
        if types == {"date-time", "string"}:
            types = {"string"}
        return "/".join(sorted(types)) or "null"


@dataclass(slots=True)
class DataQualityCounters:
    """What was odd in the rows of a stream.

    Attributes:
        type_mismatches: Values that do not fit their type, by field path.
        unknown_fields: Fields that the schema does not have, by path; if there are too many of them, all
            are counted as `TOO_MANY_NAMES`.
        rows_without_key: Rows that have no usable primary key, those that are no objects among them.
        pages_with_invalid_unicode: Pages in which characters that are none were replaced by U+FFFD.
    """

    type_mismatches: Counter[str] = field(default_factory=Counter)
    unknown_fields: dict[str, UnknownFieldStats] = field(default_factory=dict)
    rows_without_key: int = 0
    pages_with_invalid_unicode: int = 0

    def add_unknown(self, path: str, value: t.Any) -> None:
        """Count a value of a field that the schema does not have.

        Args:
            path: The field's path, its name as `safe_field_name` gives it.
            value: The value, of which only the type is kept.
        """
        if path not in self.unknown_fields and len(self.unknown_fields) == MAX_UNKNOWN_NAMES:
            every = self.unknown_fields.values()
            types = {one for unknown in every for one in unknown.types}
            self.unknown_fields = {
                TOO_MANY_NAMES: UnknownFieldStats(sum(one.count for one in every), types)
            }
        if TOO_MANY_NAMES in self.unknown_fields:
            path = TOO_MANY_NAMES
        unknown = self.unknown_fields.setdefault(path, UnknownFieldStats())
        unknown.count += 1
        unknown.types.add(_type_of(value))

    def add_type_mismatch(self, path: str) -> None:
        """Count a value that does not fit its type."""
        self.type_mismatches[path] += 1


def safe_field_name(name: str) -> str:
    """Write the name of a field that no schema has for the log.

    Args:
        name: As it came.

    Returns:
        The name, or `(a name)` in place of one that is not written as the API's fields are.
    """
    is_safe = len(name) <= _LONGEST_NAME and _FIELD_NAME.fullmatch(name)
    return name if is_safe else "(a name)"


def _type_of(value: t.Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str) and parse_timestamp(value) is not None:
        return "date-time"
    return _TYPES[type(value)]
