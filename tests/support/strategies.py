"""Hypothesis strategies for rows of the service: JSON text that mostly fits a schema.

They generate text instead of values, because rows may differ in the spelling of numbers, in escapes
and in duplicate keys.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Json: TypeAlias = st.SearchStrategy[str]
Schema: TypeAlias = "Mapping[str, Any]"

BARE_NUMBERS = [
    *("0", "1", "-1", "7", "-0", "0.0", "-0.0", "1.0", "7.0", "7.5", "1e3", "15e-1", "10E-1", "2"),
    *("7.00000000000000000001", "0.1", "12.50", "123456789.123456789123456789123456789"),
    *("9007199254740990.6", "9007199254740991", "9007199254740991.0", "9007199254740991.4"),
    *("9007199254740991.00000000000000001", "-9007199254740991.4", "9007199254740991.6"),
    *("9007199254740992", "9007199254740993", "9007199254740993.0", "-9007199254740993.0"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    *("18446744073709551615", "18446744073709551616", "1e19", "9" * 300, f"-{'9' * 300}.0"),
    *("1e400", "-1e400", "1e-400", "1e999", "1e1000", "1e999999999", "1e-999999999"),
]
NUMBER_TEXTS = [
    *BARE_NUMBERS,
    *("007", "+7", " 7", "7 ", "7.", ".5", "-.5e1", "+1e3", "00", "01", "-1", "+0", "--7", "7,0"),
    *("0x1", "1_000", "٣", "\uff17", "NaN", "nan", "Infinity", "-Infinity", "inf", "1e", "e3", "."),
    *("\u00a07\u2003", "7\n", "1e99999999999", "0" * 400 + "7"),
]
WORDS = [
    *("", " ", "null", "NULL", "Null", " null ", "nil", "None", "undefined", "true", "TRUE"),
    *("True", "tRuE", " true ", "false", "FALSE", "False", "yes", "no", "t", "f", "a", "Zoë"),
    *("a\u0301", "👩🏽‍🎓", "\0", "a\0b", "\u2028", "\u2029", "\ufeff", "\x7f", "\x1f\t\r\n", '"'),
    *("\\", "\\u0041", "/", "</script>", "\uffff", "x" * 3000, "é" * 500),
]
DAYS = [
    *("2024-05-01", "2024-02-29", "0001-01-01", "9999-12-31", "2024-02-30", "2024-5-1", "2024-05"),
    *("20240501", "2024-W18-3", "2024-W18", "2024W183", "2024W18", "2024-122", "24-05-01", "soon"),
    *("+2024-05-01", "\uff12\uff10\uff12\uff14-05-01", "0000-01-01", "10000-01-01"),
]
CLOCKS = [
    *("T10:00:00.123", "T10:00:00", "T00:00:00", "T00:00:00.000", " 10:00:00", " 00:00", ""),
    *("T10:00", "T10", "T100000", "T100000.5", "T10:00:00,123", "T10:00:00.1", "T10:00:00.123456"),
    *("T10:00:00.1234", "T10:00:00.12345", "T10:00:00.1234567", "T10:00:00.123456789"),
    *("T24:00:00", "T24:00:00.000", "T23:59:59.999", "T10:00:60", "T25:00:00.000", "t10:00:00"),
    *("-10:00", "-10:00:00.123", "_10:00", "  10:00", "T10:00:00.", "T10:00:00.12x", "T1:00:00"),
    *("T", "T10:00:00.12 "),
]
ZONES = [
    *("Z", "", "+00:00", "-00:00", "+0000", "+00", "z", "+05:30", "-05:00", "-0500", "+14:00"),
    *("-14:00", "+23:59", "+24:00", "+00:00:00", "+00:00:30", "+05:30:00.5", " Z", " +00:00"),
    *("UTC", " UTC"),
]
PADS = ["", " ", "\n", "\u00a0", "\u2028"]

NAMES = [
    *("new", "", " ", "_extra", "f0", "f1", "f99", "class", "None", "self", "updatedon"),
    *("UpdatedOn", "id ", "a b", "a.b", "a[]", "Zoë", "👩🏽‍🎓", "\u2028", 'a"b', "a\\b", "a\nb"),
    *("\0", "/"),
]
"""Names of fields that no schema of the tap has."""


def quoted(texts: st.SearchStrategy[str]) -> Json:
    """Return JSON strings of texts, with Unicode characters or with escapes."""
    return st.builds(json.dumps, texts, ensure_ascii=st.booleans())


INTEGERS: Json = st.one_of(
    st.integers(-100, 100), st.integers(2**53 - 4, 2**53 + 4), st.integers(-(2**70), 2**70)
).map(str)
NUMBERS: Json = st.one_of(
    st.sampled_from(BARE_NUMBERS),
    INTEGERS,
    st.builds("{}{}".format, INTEGERS, st.sampled_from([".0", ".00", ".25", ".4999", "e0", "E+1"])),
    st.decimals(allow_nan=False, allow_infinity=False, places=9).map(str),
)
TEXTS: Json = quoted(st.one_of(st.text(max_size=12), st.sampled_from(WORDS)))
TIMESTAMPS: Json = quoted(
    st.one_of(
        st.builds("{}{}{}".format, *map(st.sampled_from, (DAYS[:3], CLOCKS[:4], ZONES[:3]))),
        st.builds("{0}{1}{2}{3}{0}".format, *map(st.sampled_from, (PADS, DAYS, CLOCKS, ZONES))),
    )
)
BOOLEANS: Json = st.sampled_from(["true", "false"])
NULL: Json = st.just("null")
_BLANKS = st.sampled_from(["", "", " ", "\n\t", "\r "])
_SCALARS: Json = st.one_of(
    NULL,
    BOOLEANS,
    NUMBERS,
    TEXTS,
    TIMESTAMPS,
    quoted(st.one_of(NUMBERS, st.sampled_from(NUMBER_TEXTS))),
)


def arrays(items: Json, *, max_size: int = 3) -> Json:
    """Return arrays of items."""
    return st.builds(
        lambda blank, texts: f"[{blank}{f'{blank},'.join(texts)}{blank}]",
        _BLANKS,
        st.lists(items, max_size=max_size),
    )


def objects(fields: Mapping[str, Json], others: Json, *, max_size: int = 4) -> Json:
    """Return objects with some known fields and other fields; keys may be duplicate.

    Args:
        fields: Values of each known field.
        others: Values of other fields.
        max_size: Maximum number of keys.
    """
    known = [
        st.tuples(st.just(name), st.booleans(), values) for name, values in sorted(fields.items())
    ]
    unknown = st.tuples(st.sampled_from(NAMES), st.booleans(), others)
    # Most members are known, regardless of the number of fields.
    members = st.one_of(st.one_of(known), st.one_of(known), unknown) if known else unknown

    def write(blank: str, drawn: Iterable[tuple[str, bool, str]]) -> str:
        pairs = (
            f"{json.dumps(name, ensure_ascii=is_ascii)}{blank}:{blank}{value}"
            for name, is_ascii, value in drawn
        )
        return f"{{{blank}{f'{blank},{blank}'.join(pairs)}{blank}}}"

    return st.builds(write, _BLANKS, st.lists(members, max_size=max_size))


ANYTHING: Json = st.recursive(
    _SCALARS, lambda inner: st.one_of(arrays(inner), objects({}, inner)), max_leaves=5
)


def values(schema: Schema) -> Json:
    """Return values of a field: most of them fit the schema, some are of any other type."""
    right = fitting(schema)
    return st.one_of(right, right, right, right, quoted(right), NULL, ANYTHING)


def fitting(schema: Schema) -> Json:
    """Return values that fit the schema of a field."""
    declared = schema.get("type", [])
    kinds = [declared] if isinstance(declared, str) else list(declared)
    return st.one_of([_fitting(kind, schema) for kind in kinds if kind != "null"] or [ANYTHING])


def _fitting(kind: str, schema: Schema) -> Json:
    match kind:
        case "object" if "properties" in schema:
            fields = {name: values(inner) for name, inner in schema["properties"].items()}
            return objects(fields, ANYTHING)
        case "array" if "items" in schema:
            return arrays(values(schema["items"]))
        case "string":
            return TIMESTAMPS if "format" in schema else TEXTS
    return {"integer": INTEGERS, "number": NUMBERS, "boolean": BOOLEANS}.get(kind, ANYTHING)


def pages(schema: Schema, *, rows: int = 3, fields: int = 6) -> Json:
    """Return pages of a stream.

    Args:
        schema: Schema of the stream.
        rows: Maximum number of rows.
        fields: Maximum number of keys per row.
    """
    properties = {name: values(inner) for name, inner in schema["properties"].items()}
    return arrays(objects(properties, ANYTHING, max_size=fields), max_size=rows)


_PROPERTY_NAMES = st.sampled_from(["id", "updatedOn", "name", *NAMES])


def schemas(depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Return schemas that a user's catalog may have for an object, with any types or none."""
    properties = st.dictionaries(_PROPERTY_NAMES, _definitions(depth), max_size=5)
    return st.fixed_dictionaries({"type": st.just("object"), "properties": properties})


def _definitions(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    kinds = ["integer", "number", "boolean", "string", "object", "array", "null"]
    of_kind = st.sampled_from(kinds)
    inner = _definitions(depth - 1) if depth else st.just({})
    properties = st.dictionaries(_PROPERTY_NAMES, inner, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"type": of_kind.map(lambda kind: [kind, "null"])}),
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.one_of(of_kind, st.lists(of_kind, max_size=3)),
                "format": st.sampled_from(["date-time", "date", "time", "uuid"]),
                "properties": properties,
                "items": inner,
            },
        ),
        st.fixed_dictionaries({"type": st.just("object"), "properties": properties}),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
    )
