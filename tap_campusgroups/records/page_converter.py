"""Conversion of a whole page at once: the results of `Converter` at the speed of C.

msgspec decodes a page into structs generated from the stream's schema, and converts between text,
number and 0/1 like `values` does. Python converts only dates and timestamps, column by column.

Some fields fall back to `Converter`, value by value: those that msgspec cannot type (numbers with a
decimal point, free objects), and, from its first mismatch on, any field whose values do not fit.
"""

from __future__ import annotations

import typing as t
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain, repeat
from operator import attrgetter, methodcaller

import msgspec
from msgspec import UNSET, UnsetType

from tap_campusgroups.records import json_codec, values
from tap_campusgroups.records.converter import (
    EXTRA,
    finished_extra,
    is_fully_convertible,
    single_type,
)
from tap_campusgroups.records.json_codec import Raw, UnexpectedJsonError, json_decoder
from tap_campusgroups.records.quality import MAX_UNKNOWN_NAMES
from tap_campusgroups.records.text_values import text_record
from tap_campusgroups.records.values import ValueFormat

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import tzinfo

    from tap_campusgroups.records.converter import Converter, Schema

RowStruct: t.TypeAlias = t.Any
"""Struct of a row, or of an object in it, with the attributes `f0`, `f1` and so on."""

PostConvert: t.TypeAlias = "Callable[[Sequence[RowStruct]], bool]"
"""Converts one column of decoded rows in place, and returns whether all of its texts fit."""

_SCALARS: t.Final[dict[str | None, t.Any]] = {
    # msgspec reads 9007199254740993.0 as a double; beyond this range, that may lose digits.
    "integer": t.Annotated[
        int, msgspec.Meta(ge=-values.MAX_SAFE_INTEGER, le=values.MAX_SAFE_INTEGER)
    ],
    "boolean": bool,
    "string": str,
}


class _Column(t.NamedTuple):
    """One field of a struct; by default, a field that a row does not have stays absent."""

    attribute: str
    type: t.Any
    post_convert: PostConvert | None = None
    default: t.Any = UNSET


@dataclass(frozen=True, slots=True)
class ConvertedPage:
    """The converted rows of a page: structs, or dictionaries if no struct can hold the page.

    Attributes:
        newest: The newest replication key in canonical form, if any row has a valid one.
        rows_without_key: Number of rows left out: without a primary key, or not objects.
    """

    rows: list[RowStruct]
    newest: str | None
    rows_without_key: int
    has_invalid_unicode: bool = False


class PageConverter:
    """Converts the pages of one stream to what `Converter` returns for their rows, as structs.

    A row without the primary key is left out, unless `primary_key` is `None`. Nested values are
    JSON text if `value_format` says so; decimals stay numbers.
    """

    def __init__(
        self,
        schema: Schema,
        converter: Converter,
        *,
        replication_key: str,
        primary_key: str | None,
        value_format: ValueFormat | None = None,
    ) -> None:
        self._converter = converter
        self._format = value_format or ValueFormat()
        self._schema = schema
        self._replication_key = replication_key
        self._primary_key = primary_key
        self._columns: dict[str, _Column] = {}
        self._fallback_fields: list[str] = []
        self._has_extra = EXTRA in schema["properties"]
        self._schema_fields = {*schema["properties"], replication_key} - {EXTRA}
        for name, definition in {**schema["properties"], replication_key: None}.items():
            attribute = f"f{len(self._columns)}"
            column = _Column(attribute, Raw)
            if name == EXTRA:
                column = _Column(attribute, None, default=None)
            elif name == replication_key:
                post_convert = _each_timestamp(attribute, is_key=True)
                column = _Column(attribute, str | None, post_convert, default=None)
            elif is_fully_convertible(definition):
                column = _compile(definition, attribute, self._format.time_zone)
                if self._format.nested_as_text and column.type is not Raw:
                    is_nested = single_type(definition) in {"object", "array"}
                    column = _as_text(column) if is_nested else column._replace(default=None)
            self._columns[name] = column
        columns = self._columns.items()
        self._can_decode = self._fall_back(
            [name for name, column in columns if column.type is Raw and not column.post_convert]
        )

    def __call__(self, results: Raw) -> ConvertedPage:
        """Convert the rows of a page; raise `JsonError` if they are invalid beyond repair."""
        page, has_invalid_unicode = json_codec.decode_or_repair(self._convert_page, results)
        return replace(page, has_invalid_unicode=has_invalid_unicode or page.has_invalid_unicode)

    def _convert_page(self, results: Raw) -> ConvertedPage:
        can_decode = self._can_decode
        while can_decode:
            try:
                rows: list[RowStruct] = self._decode(results)
            except UnexpectedJsonError:
                mismatches = self._find_mismatches(results)
            else:
                columns = self._columns.items()
                mismatches = [n for n, c in columns if c.post_convert and not c.post_convert(rows)]
                if not mismatches:
                    if self._fallback_fields:
                        self._convert_fallback_fields(rows)
                    return self._with_keys(
                        rows, lambda name: attrgetter(self._columns[name].attribute)
                    )
            can_decode = bool(mismatches) and self._fall_back(mismatches)
        return self._convert_rows(results)

    def _convert_rows(self, results: Raw) -> ConvertedPage:
        """Convert a page that structs cannot hold, such as one with a row that is not an object."""
        rows, non_object_rows, has_invalid_unicode = json_codec.decode_rows(results)
        records = [self._converter(row) for row in rows]
        if self._format.nested_as_text:
            fields = self._schema["properties"]
            only_nested = replace(self._format, decimals_as_text=False)
            records = [text_record(one, fields, only_nested) for one in records]
        page = self._with_keys(records, lambda name: methodcaller("get", name))
        rows_without_key = page.rows_without_key + non_object_rows
        return replace(
            page, rows_without_key=rows_without_key, has_invalid_unicode=has_invalid_unicode
        )

    def _with_keys(
        self, rows: list[t.Any], getter: Callable[[str], Callable[[t.Any], t.Any]]
    ) -> ConvertedPage:
        """Leave out the rows without a primary key, and find the newest replication key."""
        kept = rows
        if self._primary_key is not None:
            get_id = getter(self._primary_key)
            if not all(map(get_id, rows)):  # checked in C; 0 is falsy, but a valid id
                kept = [row for row in rows if get_id(row) not in (None, UNSET)]
        newest = max(filter(None, map(getter(self._replication_key), kept)), default=None)
        return ConvertedPage(kept, newest, len(rows) - len(kept))

    def _find_mismatches(self, results: Raw) -> list[str]:
        """Return the fields that have no column, or a value that does not fit its type."""
        try:
            rows: list[dict[str, Raw]] = json_decoder(list[dict[str, Raw]])(results)
        except UnexpectedJsonError:  # a row is not an object
            return []
        decoders = {name: json_decoder(c.type, strict=False) for name, c in self._columns.items()}
        mismatches: dict[str, None] = {}
        for row in rows:
            for name, value in row.items():
                try:
                    if name not in mismatches:
                        decoders[name](value)
                except (KeyError, UnexpectedJsonError):
                    mismatches[name] = None
        return list(mismatches)

    def _fall_back(self, fields: Sequence[str]) -> bool:
        """Leave fields to `Converter` from now on; return whether structs can hold them."""
        columns = self._columns.copy()
        for name in fields:
            attribute = columns[name].attribute if name in columns else f"f{len(columns)}"
            is_always_present = name == self._replication_key or (
                self._format.nested_as_text and name in self._schema_fields
            )
            default = Raw(b"null") if is_always_present else UNSET
            columns[name] = _Column(attribute, Raw, default=default)
        if len(columns.keys() - self._schema_fields) > MAX_UNKNOWN_NAMES:
            return False
        if (struct := _make_struct(columns)) is None:
            return False
        self._columns = columns
        self._fallback_fields += fields
        self._decode = json_decoder(list[struct], strict=False)  # type: ignore[valid-type]
        return True

    def _convert_fallback_fields(self, rows: Sequence[RowStruct]) -> None:
        fields = [
            (name, name in self._schema_fields, self._columns[name].attribute)
            for name in self._fallback_fields
        ]
        # Decode all values first: that may fail, and no value may be counted twice.
        for row in rows:
            for _, _, attribute in fields:
                if (raw := getattr(row, attribute)) is not UNSET:
                    setattr(row, attribute, json_codec.decode_value(raw))
        for row in rows:
            extra: dict[str, t.Any] = {}
            for name, is_known, attribute in fields:
                if (value := getattr(row, attribute)) is UNSET:
                    continue
                if is_known:
                    converted = self._converter.convert_field(name, value, extra)
                    setattr(row, attribute, self._as_written(converted))
                else:
                    setattr(row, attribute, UNSET)
                    self._converter.handle_unknown_field(name, value, extra)
            if self._has_extra:
                value = self._as_written(finished_extra(extra))
                setattr(row, self._columns[EXTRA].attribute, value)

    def _as_written(self, value: t.Any) -> t.Any:
        is_text = self._format.nested_as_text and isinstance(value, (dict, list))
        return json_codec.encode_json(value) if is_text else value


def _make_struct(columns: Mapping[str, _Column]) -> type[msgspec.Struct] | None:
    fields = [
        (c.attribute, c.type | UnsetType, msgspec.field(default=c.default, name=name))
        for name, c in columns.items()
    ]
    try:
        # Rows hold no cycles, so the garbage collector can skip them.
        return msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)
    except ValueError:  # msgspec does not support names that JSON would have to escape
        return None


def _compile(definition: Schema, attribute: str, time_zone: tzinfo | None) -> _Column:
    """Compile a property; it stays `Raw` if msgspec cannot type it."""
    in_array = single_type(definition) == "array" and "items" in definition
    inner = definition["items"] if in_array else definition
    match single_type(inner), inner, in_array:
        case "object", {"properties": properties}, _:
            return _compile_objects(properties, attribute, time_zone, in_array=in_array)
        case "string", {"format": "date-time"}, False:
            return _Column(attribute, str | None, _each_timestamp(attribute, time_zone))
        case "string", {"format": "date"}, False:
            return _Column(attribute, str | None, _each_text(attribute, values.to_date))
        case "string", {"format": _}, True:
            return _Column(attribute, Raw)
        case name, _, _ if name in _SCALARS:
            scalar = _SCALARS[name] | None
            return _Column(attribute, list[scalar] | None if in_array else scalar)  # type: ignore[valid-type]
    return _Column(attribute, Raw)


def _compile_objects(
    properties: Mapping[str, Schema], attribute: str, time_zone: tzinfo | None, *, in_array: bool
) -> _Column:
    """Compile an object, or an array of objects."""
    columns = {
        name: _compile(definition, f"f{number}", time_zone)
        for number, (name, definition) in enumerate(properties.items())
    }
    struct = _make_struct(columns)
    if struct is None or any(column.type is Raw for column in columns.values()):
        return _Column(attribute, Raw)
    post_converts = [c.post_convert for c in columns.values() if c.post_convert is not None]
    get = attrgetter(attribute)

    def post_convert(rows: Sequence[RowStruct]) -> bool:
        objects: Iterable[t.Any] = filter(None, map(get, rows))
        if in_array:
            objects = filter(None, chain.from_iterable(objects))
        nested_rows = list(objects)
        return all(convert_nested(nested_rows) for convert_nested in post_converts)

    column_type = list[struct | None] if in_array else struct  # type: ignore[valid-type]
    return _Column(attribute, column_type | None, post_convert if post_converts else None)


def _as_text(column: _Column) -> _Column:
    """Return the column of the JSON texts of objects or arrays.

    Lookup values, such as countries, come again and again: a page has each value converted once.
    """
    attribute, convert = column.attribute, column.post_convert
    get = attrgetter(attribute)
    holder = _make_struct({"value": column})
    decode = json_decoder(list[holder], strict=False)  # type: ignore[valid-type]

    def post_convert(rows: Sequence[RowStruct]) -> bool:
        raws = [*map(bytes, map(get, rows))]
        unique = [*dict.fromkeys(raws)]
        try:
            holders = decode(b'[{"value":%b}]' % b'},{"value":'.join(unique) if unique else b"[]")
        except UnexpectedJsonError:
            return False
        if convert is not None and not convert(holders):
            return False
        texts = json_codec.encode_texts(map(get, holders))
        nullable = (None if text == "null" else text for text in texts)
        text_of = dict(zip(unique, nullable, strict=True))
        set_text = map(setattr, rows, repeat(attribute), map(text_of.__getitem__, raws))
        deque(set_text, maxlen=0)  # runs in C
        return True

    return _Column(attribute, Raw, post_convert, default=Raw(b"null"))


def _each_text(attribute: str, convert: Callable[[str], str | None]) -> PostConvert:
    """Return a conversion of the texts in a column."""
    get = attrgetter(attribute)

    def post_convert(rows: Sequence[RowStruct]) -> bool:
        try:
            for row, text in zip(rows, map(get, rows), strict=True):
                if text.__class__ is str:
                    setattr(row, attribute, convert(text))
        except values.ConversionError:
            return False
        return True

    return post_convert


def _each_timestamp(
    attribute: str, time_zone: tzinfo | None = None, *, is_key: bool = False
) -> PostConvert:
    """Return a conversion of timestamps, which checks those of a common form all at once, in C."""
    get = attrgetter(attribute)
    to_timestamp = partial(values.to_timestamp, time_zone=time_zone)
    convert_texts = _each_text(attribute, values.to_canonical_timestamp if is_key else to_timestamp)
    needs_zone = is_key or time_zone is not None
    # `to_timestamp` keeps texts of these lengths, with few exceptions.
    lengths = {len("2024-05-01T10:00:00.123Z")} if is_key else {19, 20, 23, 24, 27}

    def post_convert(rows: Sequence[RowStruct]) -> bool:
        texts: list[str] = []
        others: list[RowStruct] = []
        for row, text in zip(rows, map(get, rows), strict=True):
            if text.__class__ is not str:
                continue
            if len(text) not in lengths or text[10] != "T" or (needs_zone and text[-1] != "Z"):
                others.append(row)
                continue
            texts.append(text)
            if is_key:
                setattr(row, attribute, f"{text[:-1]}000Z")
        return convert_texts(others if _are_common_timestamps(texts) else rows)

    return post_convert


def _are_common_timestamps(texts: Sequence[str]) -> bool:
    """Return whether texts with a `T` in the middle are valid, in UTC or without an offset."""
    try:
        msgspec.convert(texts, list[datetime])  # accepts RFC 3339, also without an offset
    except msgspec.ValidationError:
        return False
    joined = "".join(texts)
    return joined.count("-") == 2 * len(texts) and "+" not in joined and "z" not in joined
