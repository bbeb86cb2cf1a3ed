"""Counters of values that a stream's schema does not expect.

They are logged, so they hold names, numbers and types, never values.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field

from tap_campusgroups.records.json_codec import JSON_TYPES
from tap_campusgroups.records.values import parse_timestamp

MAX_UNKNOWN_NAMES: t.Final = 20  # with more unknown fields, their names are probably data

TOO_MANY_NAMES: t.Final = f"(more than {MAX_UNKNOWN_NAMES} names)"


@dataclass(slots=True)
class UnknownFieldStats:
    """Number of values and their JSON types, or `date-time` for text that is a timestamp."""

    count: int = 0
    types: set[str] = field(default_factory=set)

    @property
    def suggested_type(self) -> str:
        """The type to give the field in a schema; any other value can be converted to a string."""
        types = self.types - {"null"}
        if types == {"integer", "number"}:
            return "number"
        return "string" if len(types) > 1 else "".join(types) or "null"


@dataclass(slots=True)
class DataQualityCounters:
    """Data quality of the rows of a stream.

    Attributes:
        type_mismatches: Values that do not fit their type, by field path.
        unknown_fields: Fields that the schema does not have, by path; all under `TOO_MANY_NAMES`
            if there are more than `MAX_UNKNOWN_NAMES`.
        rows_without_key: Rows without a usable primary key, including rows that are not objects.
        pages_with_invalid_unicode: Pages in which invalid Unicode was replaced with U+FFFD.
    """

    type_mismatches: Counter[str] = field(default_factory=Counter)
    unknown_fields: dict[str, UnknownFieldStats] = field(default_factory=dict)
    rows_without_key: int = 0
    pages_with_invalid_unicode: int = 0

    @property
    def issues(self) -> int:
        """Number of values, pages and rows that the other counters count."""
        unknown = sum(stats.count for stats in self.unknown_fields.values())
        others = self.pages_with_invalid_unicode + self.rows_without_key
        return unknown + self.type_mismatches.total() + others

    def add_unknown(self, path: str, value: t.Any) -> None:
        """Count a value by the path of its field, which must be safe to log; keep only its type."""
        fields = self.unknown_fields
        if path not in fields and len(fields) == MAX_UNKNOWN_NAMES:
            count = sum(stats.count for stats in fields.values())
            types = {one for stats in fields.values() for one in stats.types}
            fields = self.unknown_fields = {TOO_MANY_NAMES: UnknownFieldStats(count, types)}
        path = TOO_MANY_NAMES if TOO_MANY_NAMES in fields else path
        stats = fields.setdefault(path, UnknownFieldStats())
        stats.count += 1
        stats.types.add("date-time" if parse_timestamp(value) else JSON_TYPES[type(value)])
