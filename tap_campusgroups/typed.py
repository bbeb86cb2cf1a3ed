"""A whole page of rows converted at once: the rules of `records`, at the speed of C.

msgspec decodes a page straight into structs that are made of the stream's schema, and takes text,
number and 0/1 for one another as `records` does. What is left to Python is dates, column by
column. A column with a value that does not fit its type is left to `records` from then on, value by
value, and so is what the types cannot say: numbers with a decimal point, free objects.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter

import msgspec
from msgspec import UNSET, UnsetType

from tap_campusgroups.codec import (
    Raw,
    UnexpectedJsonError,
    decode_value,
    lenient_decoder,
    split_rows,
)
from tap_campusgroups.records import (
    LARGEST_WHOLE_DOUBLE,
    Unconvertible,
    canonical_instant,
    main_type,
    to_date,
    to_instant,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tap_campusgroups.records import Converter, Oddities, Schema

Struct: t.TypeAlias = t.Any
"""A row, or an object in it, as an instance of its struct; the attributes are `f0`, `f1` ..."""

Finish: t.TypeAlias = "Callable[[Sequence[Struct]], None]"
"""Finishes a column of rows in place."""

# Larger ones may have lost digits on their way through a double; `records` reads them exactly.
_Integer = t.Annotated[int, msgspec.Meta(ge=-LARGEST_WHOLE_DOUBLE, le=LARGEST_WHOLE_DOUBLE)]
_SCALARS: t.Final[dict[str | None, t.Any]] = {
    "integer": _Integer,
    "boolean": bool,
    "string": str,
}


@dataclass(frozen=True, slots=True)
class _Column:
    """One field of an object.

    Attributes:
        attribute: The struct's attribute.
        of: Its type, null aside.
        finishes: What is left to do after decoding.
    """

    attribute: str
    of: t.Any
    finishes: tuple[Finish, ...] = ()

    def field(self, name: str) -> tuple[str, t.Any, t.Any]:
        """Describe the field to msgspec; one that a row does not have stays out of its record."""
        of = Raw | UnsetType if self.of is Raw else self.of | None | UnsetType
        return self.attribute, of, msgspec.field(default=UNSET, name=name)


class PageConverter:
    """Converts the pages of one stream: what `records.Converter` gives, as structs."""

    def __init__(
        self, schema: Schema, converter: Converter, *, replication_key: str, oddities: Oddities
    ) -> None:
        """Compile a schema.

        Args:
            schema: The stream's JSON schema.
            converter: Of the same schema; for the columns that do not fit.
            replication_key: Field that gets the canonical form.
            oddities: Where to count what does not fit.
        """
        self._converter = converter
        self._key = replication_key
        self._oddities = oddities
        self._columns: dict[str, _Column] = {}
        for name, definition in schema["properties"].items():
            attribute = f"f{len(self._columns)}"
            column = _compile(definition, attribute, name, oddities)
            self._columns[name] = column or self._loose(name, attribute)
        key = self._columns.get(replication_key)
        # Its form is `_write_keys`'s business.
        self._columns[replication_key] = _Column(
            key.attribute if key else f"f{len(self._columns)}", str
        )
        self._decode = self._make_decoder()

    def __call__(self, results: Raw) -> tuple[list[Struct], str | None]:
        """Convert a page.

        Args:
            results: JSON text of an array of objects.

        Returns:
            A struct a row, in their order, and the newest replication key in canonical form if a
            row has a usable one.

        Raises:
            UnexpectedJsonError: If it is not such an array.
            BadJsonError: If it is no JSON.
        """
        try:
            rows: list[Struct] = self._decode(results)
        except UnexpectedJsonError:
            self._loosen(results)
            rows = self._decode(results)
        for column in self._columns.values():
            for finish in column.finishes:
                finish(rows)
        return rows, self._write_keys(rows)

    def _make_decoder(self) -> Callable[[Raw], list[Struct]]:
        return lenient_decoder(list[_struct(self._columns)])  # type: ignore[misc] # made just now

    def _loosen(self, results: Raw) -> None:
        """Leave the columns of a page that do not fit to `records`."""
        decoders = {
            name: lenient_decoder(column.of if column.of is Raw else column.of | None)
            for name, column in self._columns.items()
        }
        for row in split_rows(results):
            for name, value in row.items():
                try:
                    decoders[name](value)
                except (KeyError, UnexpectedJsonError):
                    decoders[name] = lenient_decoder(Raw)
                    known = self._columns.get(name)
                    attribute = known.attribute if known else f"f{len(self._columns)}"
                    self._columns[name] = self._loose(name, attribute, is_known=known is not None)
        self._decode = self._make_decoder()

    def _loose(self, name: str, attribute: str, *, is_known: bool = True) -> _Column:
        """Make a column whose values `records` converts; values of unknown fields are left out."""
        get = attrgetter(attribute)
        convert, unknown = self._converter.convert_field, self._oddities.unknown

        def finish(rows: Sequence[Struct]) -> None:
            for row in rows:
                if (raw := get(row)) is UNSET:
                    continue
                if is_known:
                    setattr(row, attribute, convert(name, decode_value(raw)))
                else:
                    setattr(row, attribute, UNSET)
                    unknown[name] += 1

        return _Column(attribute, Raw, (finish,))

    def _write_keys(self, rows: Sequence[Struct]) -> str | None:
        """Bring the replication keys into canonical form, and find the newest."""
        attribute, of = self._columns[self._key].attribute, self._columns[self._key].of
        get = attrgetter(attribute)
        convert = self._converter.convert_field
        newest = ""
        for row in rows:
            value = get(row)
            if (canonical := _plainly_canonical(value)) is None:
                if value is UNSET:
                    value = None
                elif of is not Raw:  # else it is converted already
                    value = convert(self._key, value)
                canonical = canonical_instant(value)
                setattr(row, attribute, value)
            else:
                setattr(row, attribute, canonical)
            if canonical is not None and canonical > newest:
                newest = canonical
        return newest or None


def _plainly_canonical(value: object) -> str | None:
    """Do `canonical_instant` for the usual form, `2024-05-01T10:00:00.123Z`, and for no other."""
    if value.__class__ is not str or len(value) != len("2024-05-01T10:00:00.123Z"):
        return None
    if (value[7], value[10], value[19], value[23]) != ("-", "T", ".", "Z"):
        return None
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return None
    return f"{value[:23]}000Z"


def _struct(columns: dict[str, _Column]) -> t.Any:
    return msgspec.defstruct(
        "Row",
        [column.field(name) for name, column in columns.items()],
        forbid_unknown_fields=True,
        gc=False,  # rows hold no cycles
    )


def _compile(  # noqa: PLR0911 - a table: one return a row
    definition: Schema, attribute: str, path: str, oddities: Oddities
) -> _Column | None:
    """Compile one property, or say by `None` that its values are not for C."""
    match main_type(definition), definition:
        case "object", {"properties": _}:
            return _compile_nested(definition, attribute, path, oddities)
        case "array", {"items": {"properties": _} as items}:
            return _compile_nested(items, attribute, f"{path}[]", oddities, in_array=True)
        case "array", {"items": items}:
            item = _compile(items, attribute, path, oddities)
            if item is not None and not item.finishes:
                return _Column(attribute, list[item.of | None])  # type: ignore[name-defined]
        case "string", {"format": "date-time"}:
            return _Column(attribute, str, (_finish_instants(attribute, path, oddities),))
        case "string", {"format": "date"}:
            return _Column(attribute, str, (_finish_dates(attribute, path, oddities),))
        case kind, _ if kind in _SCALARS:
            return _Column(attribute, _SCALARS[kind])
    return None


def _compile_nested(
    definition: Schema, attribute: str, path: str, oddities: Oddities, *, in_array: bool = False
) -> _Column | None:
    """Compile an object, or an array of them."""
    columns: dict[str, _Column] = {}
    for name, inner in definition["properties"].items():
        column = _compile(inner, f"f{len(columns)}", f"{path}.{name}", oddities)
        if column is None:
            return None
        columns[name] = column
    finishes = [finish for column in columns.values() for finish in column.finishes]
    struct = _struct(columns)
    of = list[struct | None] if in_array else struct  # type: ignore[valid-type] # made just now
    if not finishes:
        return _Column(attribute, of)
    get = attrgetter(attribute)

    def finish_all(rows: Sequence[Struct]) -> None:
        values: Iterable[t.Any] = filter(None, map(get, rows))
        if in_array:
            values = (item for items in values for item in items if item is not None)
        objects = list(values)
        for finish in finishes:
            finish(objects)

    return _Column(attribute, of, (finish_all,))


def _finish_instants(attribute: str, path: str, oddities: Oddities) -> Finish:
    """Bring instants into the form of `records.to_instant`; most of them are in it."""
    get, parse = attrgetter(attribute), datetime.fromisoformat

    def finish(rows: Sequence[Struct]) -> None:
        for row in rows:
            text = get(row)
            if text.__class__ is not str:
                continue
            try:
                zone = parse(text).tzinfo
                is_in_form = (zone is None or zone is UTC) and text[7] == "-"
            except ValueError:
                is_in_form = False
            if not is_in_form:
                try:
                    setattr(row, attribute, to_instant(text))
                except Unconvertible:
                    oddities.unconvertible[path] += 1

    return finish


def _finish_dates(attribute: str, path: str, oddities: Oddities) -> Finish:
    get = attrgetter(attribute)

    def finish(rows: Sequence[Struct]) -> None:
        for row in rows:
            text = get(row)
            if text.__class__ is not str:
                continue
            try:
                setattr(row, attribute, to_date(text))
            except Unconvertible:
                oddities.unconvertible[path] += 1

    return finish
