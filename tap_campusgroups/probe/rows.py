"""What the rows of a stream look like: counts of forms and patterns, never values."""

from __future__ import annotations

import re
import typing as t
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

from tap_campusgroups.records.converter import EXTRA, Converter, single_type
from tap_campusgroups.records.json_codec import JSON_TYPES, JsonError
from tap_campusgroups.records.quality import DataQualityCounters
from tap_campusgroups.records.values import ConversionError, to_number

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_campusgroups.records.json_codec import Record

OTHER_FORM: t.Final = "(another form)"
EMPTY: t.Final = "empty text"
UNDATED: t.Final = re.compile(r"9999-99-99[T ][9:.]+")
"""The pattern of a date-time without an offset."""

_TIMES: t.Final = {"date-time", "date"}
_NAMES: t.Final = {"integer": {"integer"}, "number": {"integer", "number"}}
# Digits and what surrounds them in a date; a pattern with any other character is not shown.
_PATTERN = re.compile(r"9[9:.,+/ -]{0,38}(?:T9[9:.,+ -]{0,38})?(?:Z|UTC)?")


def pattern(text: str) -> str:
    """Return the form of a date or a time: `9999-99-99T99:99:99.999Z`."""
    shape = re.sub("[0-9]", "9", text)
    return shape if _PATTERN.fullmatch(shape) else OTHER_FORM


def _form(value: t.Any, expected: str | None) -> str:
    """Return the JSON type of a value; of text in place of another type, what it looks like."""
    if not isinstance(value, str):
        return JSON_TYPES[type(value)]
    text = value.strip().lower()
    if not text:
        return EMPTY
    if expected == "string":
        return "string"
    if text in {"true", "false", "null"}:
        return "null as text" if text == "null" else "boolean as text"
    with suppress(ConversionError):
        to_number(text)
        return "number as text"
    return "JSON as text" if text[0] in "{[" else "string"


@dataclass
class RowSurvey:
    """Counts over the rows of one stream.

    Attributes:
        forms: By field of the schema, how often each form of its values occurs.
        patterns: By field, how often each pattern of its dates and times occurs.
        deleted: Spellings of the field `deleted`.
        quality: What the tap's conversion finds, with the names that a log line may show.
    """

    stream: str
    schema: Mapping[str, t.Any]
    rows: int = 0
    others: int = 0  # that are not objects
    forms: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    patterns: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    deleted: Counter[str] = field(default_factory=Counter)
    quality: DataQualityCounters = field(default_factory=DataQualityCounters)
    newest: str | None = None  # updatedOn, in canonical form

    def __post_init__(self) -> None:
        """Prepare the tap's conversion of the rows."""
        self._fields = {
            name: (single_type(one), one.get("format"))
            for name, one in self.schema["properties"].items()
            if name != EXTRA
        }
        self._convert = Converter(
            self.schema, stream=self.stream, replication_key="updatedOn", quality=self.quality
        )

    def add(self, rows: Iterable[Record]) -> None:
        """Count some rows."""
        for row in rows:
            self.rows += 1
            for name, (kind, text_format) in self._fields.items():
                if name in row:
                    self._count(name, row[name], kind, text_format)
            with suppress(JsonError):  # nested too deeply
                updated = self._convert(row)["updatedOn"]
                self.newest = max(self.newest or "", updated or "") or None

    def _count(self, name: str, value: t.Any, kind: str | None, text_format: str | None) -> None:
        form = _form(value, kind)
        self.forms[name][form] += 1
        if text_format in _TIMES and form == "string":
            self.patterns[name][pattern(value)] += 1
        if name == "deleted":
            self.deleted[form if form != "boolean" else str(value).lower()] += 1

    def unexpected(self) -> dict[str, dict[str, int]]:
        """Return the forms, by field, that are neither null nor of the declared type."""
        found = {}
        for name, forms in self.forms.items():
            kind, text_format = self._fields[name]
            fitting = _NAMES.get(str(kind), {str(kind)}) | {"null"}
            # Text of users may be empty, a date may not.
            fitting |= {EMPTY} if kind == "string" and text_format is None else set()
            if other := {form: count for form, count in forms.items() if form not in fitting}:
                found[name] = other
        return found

    def missing(self) -> list[str]:
        """Return the fields of the schema that not all rows have."""
        return [name for name in self._fields if self.forms[name].total() < self.rows]

    def report(self) -> dict[str, t.Any]:
        """Return the counts for the report."""
        return {
            "rows": self.rows,
            "not_objects": self.others,
            "fields": {
                name: {"forms": dict(self.forms[name]), "patterns": dict(self.patterns[name])}
                for name in self._fields
            },
            "not_convertible": dict(self.quality.type_mismatches),
            "unknown": {
                name: {"values": stats.count, "types": sorted(stats.types)}
                for name, stats in self.quality.unknown_fields.items()
            },
        }
