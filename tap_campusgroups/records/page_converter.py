"""A whole page of rows converted at once: the rules of `records`, at the speed of C.

msgspec decodes a page straight into structs that are made of the stream's schema, and takes text,
number and 0/1 for one another as `records` does. What is left to Python is dates, column by
column. A column with a value that does not fit its type is left to `records` from then on, value by
value, and so is what the types cannot say: numbers with a decimal point, free objects.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter

import msgspec
from msgspec import UNSET, UnsetType

from tap_campusgroups.records.converter import EXTRA, is_fully_convertible, single_type
from tap_campusgroups.records.json_codec import (
    InvalidJsonError,
    Raw,
    UnexpectedJsonError,
    decode_rows,
    decode_value,
    lenient_decoder,
    repair_json,
    split_rows,
)
from tap_campusgroups.records.values import (
    MAX_SAFE_INTEGER,
    ConversionError,
    to_canonical_timestamp,
    to_date,
    to_timestamp,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tap_campusgroups.records.converter import Converter, Schema

RowStruct: t.TypeAlias = t.Any
"""A row, or an object in it, as an instance of its struct; the attributes are `f0`, `f1` ..."""

PostConvert: t.TypeAlias = "Callable[[Sequence[RowStruct]], None]"
"""Finishes a column of rows in place."""

MAX_UNKNOWN_COLUMNS: t.Final = 100
"""Fields that a schema does not have and a struct gets a column for; names may be data."""

_UNSUPPORTED_NAME = re.compile(
    r"[\x00-\x1f\"\\\ud800-\udfff]"
)  # msgspec has no columns of such names

# The usual forms of an instant, by their length: where they have which mark.
_MARKS: t.Final = {
    len(form): [(at, mark) for at, mark in enumerate(form) if not mark.isdigit()]
    for form in (
        *("2024-05-01T10:00:00Z", "2024-05-01T10:00:00.123Z", "2024-05-01T10:00:00.123456Z"),
        *("2024-05-01T10:00:00", "2024-05-01T10:00:00.123"),
    )
}

# Larger ones may have lost digits on their way through a double; `records` reads them exactly.
_Integer = t.Annotated[int, msgspec.Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]
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
        post_converts: What is left to do after decoding.
    """

    attribute: str
    of: t.Any
    post_converts: tuple[PostConvert, ...] = ()

    def field(self, name: str) -> tuple[str, t.Any, t.Any]:
        """Describe the field to msgspec; one that a row does not have stays out of its record."""
        of = Raw | UnsetType if self.of is Raw else self.of | None | UnsetType
        default = None if self.of is type(None) else UNSET
        return self.attribute, of, msgspec.field(default=default, name=name)


class _FallbackNeeded(Exception):  # noqa: N818 - caught where it is raised
    """A value of the right type needs `records` all the same.

    Attributes:
        field: The top-level field that it stands in.
    """

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class ConvertedPage:
    """The rows of a page, converted.

    Attributes:
        rows: A struct a row, in their order.
        newest: The newest replication key in canonical form, if a row has a usable one.
        rows_without_key: How many rows were left out because they have no usable primary key, or are no
            objects.
        has_invalid_unicode: Whether invalid Unicode was replaced.
    """

    rows: list[RowStruct]
    newest: str | None
    rows_without_key: int = 0
    has_invalid_unicode: bool = False


class PageConverter:
    """Converts the pages of one stream: what `records.Converter` gives, as structs."""

    def __init__(
        self, schema: Schema, converter: Converter, *, replication_key: str, primary_key: str | None
    ) -> None:
        """Compile a schema.

        Args:
            schema: The stream's JSON schema.
            converter: Of the same schema; for the columns that do not fit.
            replication_key: Field that gets the canonical form.
            primary_key: Field without which a row is left out, if the schema has it.
        """
        self._converter = converter
        self._key = replication_key
        self._primary_key = primary_key
        self._columns: dict[str, _Column] = {}
        self._fallback_fields: dict[str, bool] = {}
        for name, definition in {**schema["properties"], replication_key: None}.items():
            attribute = f"f{len(self._columns)}"
            column: _Column | None
            if name == EXTRA:
                column = _Column(attribute, type(None))
            elif name == replication_key:
                column = _Column(
                    attribute, str, (_post_convert(attribute, name, _to_canonical_timestamp),)
                )
            else:
                column = (
                    _compile(definition, attribute, name)
                    if is_fully_convertible(definition)
                    else None
                )
            if column is None:
                column, self._fallback_fields[name] = _Column(attribute, Raw), True
            self._columns[name] = column
        self._extra = self._columns[EXTRA].attribute if EXTRA in self._columns else None
        self._get_id = attrgetter(self._columns[primary_key].attribute) if primary_key else None
        self._is_typable = not any(map(_UNSUPPORTED_NAME.search, self._columns))
        if self._is_typable:
            self._decode = self._make_decoder()

    def __call__(self, results: Raw) -> ConvertedPage:
        """Convert a page.

        Args:
            results: JSON text of an array of objects.

        Returns:
            The page.

        Raises:
            UnexpectedJsonError: If it is no array.
            InvalidJsonError: If it is no JSON.
            UnknownFieldError: If a row has an unknown field, and that is to be an error.
        """
        try:
            return self._convert_page(results)
        except InvalidJsonError:
            mended, is_replaced = repair_json(results)
            return replace(self._convert_page(mended), has_invalid_unicode=is_replaced)

    def _convert_page(self, results: Raw) -> ConvertedPage:
        while self._is_typable:
            try:
                return self._convert_at_once(results)
            except UnexpectedJsonError:
                misfits = self._misfits(results)
                if not misfits or not self._can_fall_back(misfits):
                    break
                self._fall_back(misfits)
            except _FallbackNeeded as misfit:
                self._fall_back({misfit.field: True})
        return self._convert_one_by_one(results)

    def _convert_at_once(self, results: Raw) -> ConvertedPage:
        rows: list[RowStruct] = self._decode(results)
        for column in self._columns.values():
            for post_convert in column.post_converts:
                post_convert(rows)
        if self._fallback_fields:
            self._convert_loose(rows)
        get_id, kept = self._get_id, rows
        if get_id is not None and not all(map(get_id, rows)):  # in C; 0 is an id all the same
            kept = [row for row in rows if (key := get_id(row)) is not None and key is not UNSET]
        return ConvertedPage(kept, self._newest_key(kept), len(rows) - len(kept))

    def _convert_one_by_one(self, results: Raw) -> ConvertedPage:
        """Convert a page that no struct can hold.

        With odd names, a key twice in a row, a row that is no object, or an integer too long.
        """
        rows, non_object_rows, has_invalid_unicode = decode_rows(results)
        records = [self._converter(row) for row in rows]
        key = self._primary_key
        kept = [record for record in records if key is None or record.get(key) is not None]
        newest = max(filter(None, (record[self._key] for record in kept)), default=None)
        return ConvertedPage(
            kept, newest, len(records) - len(kept) + non_object_rows, has_invalid_unicode
        )

    def _make_decoder(self) -> Callable[[Raw], list[RowStruct]]:
        return lenient_decoder(list[_struct(self._columns)])  # type: ignore[misc] # made just now

    def _misfits(self, results: Raw) -> dict[str, bool]:
        """Find the fields of a page that do not fit, and whether the schema has them."""
        try:
            rows = split_rows(results)
        except UnexpectedJsonError:  # a row is no object
            return {}
        decoders = {
            name: lenient_decoder(column.of if column.of is Raw else column.of | None)
            for name, column in self._columns.items()
        }
        found: dict[str, bool] = {}
        for row in rows:
            for name, value in row.items():
                try:
                    if name not in found:
                        decoders[name](value)
                except (KeyError, UnexpectedJsonError):
                    found[name] = name in self._columns and name != EXTRA
        return found

    def _can_fall_back(self, fields: dict[str, bool]) -> bool:
        """Say whether a struct can have columns for these fields, and not too many of them."""
        unknown = [
            name for name, is_known in (self._fallback_fields | fields).items() if not is_known
        ]
        return len(unknown) <= MAX_UNKNOWN_COLUMNS and not any(
            map(_UNSUPPORTED_NAME.search, unknown)
        )

    def _fall_back(self, fields: dict[str, bool]) -> None:
        """Leave fields to `records` from now on."""
        self._fallback_fields |= fields
        for name in fields:
            known = self._columns.get(name)
            attribute = known.attribute if known else f"f{len(self._columns)}"
            self._columns[name] = _Column(attribute, Raw)
        self._decode = self._make_decoder()

    def _convert_loose(self, rows: Sequence[RowStruct]) -> None:
        convert, handle_unknown_field = (
            self._converter.convert_field,
            self._converter.handle_unknown_field,
        )
        loose = [
            (name, is_known, self._columns[name].attribute)
            for name, is_known in self._fallback_fields.items()
        ]
        # First all are decoded, for that may fail, and a value must not be counted twice.
        values = [
            [
                UNSET if (raw := getattr(row, column[2])) is UNSET else decode_value(raw)
                for column in loose
            ]
            for row in rows
        ]
        for row, row_values in zip(rows, values, strict=True):
            extra: dict[str, t.Any] = {}
            for (name, is_known, attribute), value in zip(loose, row_values, strict=True):
                if value is UNSET:
                    continue
                if is_known:
                    setattr(row, attribute, convert(name, value, extra))
                else:
                    setattr(row, attribute, UNSET)
                    handle_unknown_field(name, value, extra)
            if self._extra is not None:
                setattr(row, self._extra, extra or None)

    def _newest_key(self, rows: Sequence[RowStruct]) -> str | None:
        """Find the newest replication key; rows without one get null."""
        attribute = self._columns[self._key].attribute
        keys = list(map(attrgetter(attribute), rows))
        if UNSET in keys:
            for row, key in zip(rows, keys, strict=True):
                if key is UNSET:
                    setattr(row, attribute, None)
        return max(filter(None, keys), default=None)


def _to_canonical_timestamp(text: str) -> str | None:
    """Do `to_canonical_timestamp`, sooner for the usual form, `2024-05-01T10:00:00.123Z`."""
    if (
        len(text) == len("2024-05-01T10:00:00.123Z")
        and text[7:20:3] == "-T::."
        and text[23] == "Z"
        # The end of a day, 24:00, is the next day's midnight from Python 3.14 on.
        and (text[11] != "2" or text[12] != "4")
    ):
        try:
            datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return f"{text[:23]}000Z"
    return to_canonical_timestamp(text)


def _struct(columns: dict[str, _Column]) -> t.Any:
    return msgspec.defstruct(
        "Row",
        [column.field(name) for name, column in columns.items()],
        forbid_unknown_fields=True,
        gc=False,  # rows hold no cycles
    )


def _compile(  # noqa: PLR0911 - a table: one return a row
    definition: Schema, attribute: str, top: str
) -> _Column | None:
    """Compile one property, or say by `None` that its values are not for C.

    Args:
        definition: Its schema.
        attribute: Its attribute.
        top: The top-level field that it stands in.
    """
    match single_type(definition), definition:
        case "object", {"properties": _}:
            return _compile_nested(definition, attribute, top)
        case "array", {"items": {"properties": _} as items} if single_type(items) == "object":
            return _compile_nested(items, attribute, top, in_array=True)
        case "array", {"items": items}:
            item = _compile(items, attribute, top)
            if item is not None and not item.post_converts:
                return _Column(attribute, list[item.of | None])  # type: ignore[name-defined]
        case "string", {"format": "date-time"}:
            return _Column(attribute, str, (_finish_instants(attribute, top),))
        case "string", {"format": "date"}:
            return _Column(attribute, str, (_post_convert(attribute, top, to_date),))
        case kind, _ if kind in _SCALARS:
            return _Column(attribute, _SCALARS[kind])
    return None


def _compile_nested(
    definition: Schema, attribute: str, top: str, *, in_array: bool = False
) -> _Column | None:
    """Compile an object, or an array of them."""
    columns: dict[str, _Column] = {}
    for name, inner in definition["properties"].items():
        column = _compile(inner, f"f{len(columns)}", top)
        if column is None or _UNSUPPORTED_NAME.search(name):
            return None
        columns[name] = column
    post_converts = [
        post_convert for column in columns.values() for post_convert in column.post_converts
    ]
    struct = _struct(columns)
    of = list[struct | None] if in_array else struct  # type: ignore[valid-type] # made just now
    if not post_converts:
        return _Column(attribute, of)
    get = attrgetter(attribute)

    def finish_all(rows: Sequence[RowStruct]) -> None:
        values: Iterable[t.Any] = filter(None, map(get, rows))
        if in_array:
            values = (item for items in values for item in items if item is not None)
        objects = list(values)
        for post_convert in post_converts:
            post_convert(objects)

    return _Column(attribute, of, (finish_all,))


def _finish_instants(attribute: str, top: str) -> PostConvert:
    """Bring instants into the form of `values.to_timestamp`; most of them are in it."""
    get = attrgetter(attribute)
    finish_one_by_one = _post_convert(attribute, top, to_timestamp)

    def post_convert(rows: Sequence[RowStruct]) -> None:
        by_length: dict[int, list[str]] = {length: [] for length in _MARKS}
        others: list[RowStruct] = []
        for row, text in zip(rows, map(get, rows), strict=True):
            if text.__class__ is str:
                alike = by_length.get(len(text))
                if alike is not None and text[10] == "T":
                    alike.append(text)
                else:
                    others.append(row)
        is_usual = all(map(_are_in_form, filter(None, by_length.values())))
        finish_one_by_one(others if is_usual else rows)

    return post_convert


def _are_in_form(texts: Sequence[str]) -> bool:
    """Check instants of one length at once: their marks, then whether they can be read."""
    joined, length = "".join(texts), len(texts[0])
    try:
        return (
            all(joined[at::length] == mark * len(texts) for at, mark in _MARKS[length])
            and "T24" not in joined  # the end of a day, which Python reads from 3.14 on
            and all(map(datetime.fromisoformat, texts))
        )
    except ValueError:
        return False


def _post_convert(attribute: str, top: str, convert: Callable[[str], str | None]) -> PostConvert:
    """Convert the texts of a column."""
    get = attrgetter(attribute)

    def post_convert(rows: Sequence[RowStruct]) -> None:
        for row, text in zip(rows, map(get, rows), strict=True):
            if text.__class__ is not str:
                continue
            try:
                setattr(row, attribute, convert(text))
            except ConversionError:
                raise _FallbackNeeded(top) from None

    return post_convert
