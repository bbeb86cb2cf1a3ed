"""Compares what a loader stored with the tap's records, and names the differences."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.loaders.nights import Record, Schema

EXACT: Final = "exact"

HARMLESS: Final = frozenset(
    {
        EXACT,
        "JSON text",
        "0 and 1",
        "null is empty text",
        "naive UTC",
        "same instant, other text",
        "date with 00:00",
        "flattened",
        "no column",
        "separate table",
    }
)
"""Outcomes that keep every value, apart from the difference between null and empty text."""

_EXTRA: Final = "_extra"
_CONTROL: Final = re.compile(r"[\x00-\x1f]")


def kind_of(name: str, definition: Schema) -> str:
    """Return the kind of a field, by which results are counted."""
    if name == _EXTRA:
        return _EXTRA
    types = definition["type"]
    (kind,) = {types} if isinstance(types, str) else set(types) - {"null"}
    if kind in {"object", "array"}:
        return "nested"
    return str(definition.get("format") or kind) if kind == "string" else str(kind)


# One value


def outcome(kind: str, sent: Any, got: Any) -> str:
    """Name the difference between a value that was sent and the one that was stored."""
    if sent is None:
        return _null_outcome(got)
    if got is None:
        return "empty text is null" if sent == "" else "null instead"
    compare: Callable[[Any, Any], str] = _OUTCOMES.get(kind, _text_outcome)
    return compare(sent, got)


def _null_outcome(got: Any) -> str:
    if got is None:
        return EXACT
    if isinstance(got, str):
        return {"": "null is empty text", "null": "null is the text null"}.get(got, "not null")
    return "null is 0 or false" if not got else "not null"


def to_decimal(value: Any) -> Decimal | None:
    """Return a number in any form as a decimal."""
    if isinstance(value, bool):
        return None
    try:
        return Decimal(repr(value) if isinstance(value, float) else str(value))
    except InvalidOperation:
        return None


def _number_outcome(sent: Decimal | int, got: Any) -> str:
    number = to_decimal(got)
    if number is None:
        return "no number"
    if number == sent:
        return EXACT
    return "double" if float(number) == float(sent) else "rounded"


def _boolean_outcome(sent: bool, got: Any) -> str:  # noqa: FBT001 - a value
    if isinstance(got, bool):
        return EXACT if got == sent else "changed"
    text = str(got).lower()
    if text in {"true", "false"}:
        return EXACT if text == str(sent).lower() else "changed"
    return "0 and 1" if text == str(int(sent)) else "changed"


def _date_outcome(sent: str, got: Any) -> str:
    text = got.isoformat() if isinstance(got, (date, datetime)) else str(got)
    if text == sent:
        return EXACT
    return "date with 00:00" if re.fullmatch(f"{sent}[T ]00:00(:00.*)?", text) else "changed"


def _to_datetime(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _instant_outcome(sent: str, got: Any) -> str:
    if got == sent:
        return EXACT
    expected, found = datetime.fromisoformat(sent), _to_datetime(got)
    if found is None:
        return "not a date-time"
    labels = {
        (False, False): EXACT,
        (True, True): "same instant, other text" if isinstance(got, str) else EXACT,
        (True, False): "naive UTC",
        (False, True): "labelled UTC",
    }
    label = labels[expected.tzinfo is not None, found.tzinfo is not None]
    expected, found = _in_utc(expected), _in_utc(found)
    if found == expected:
        return label
    # Subtraction, because a year can be the last one.
    seconds = abs((found - expected).total_seconds())
    if found.microsecond == 0 and seconds < 1:
        return "fractions of a second cut"
    return "fractions of a second rounded" if seconds < 1 else "another time"


def _in_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _text_outcome(sent: str, got: Any) -> str:
    text = str(got)
    forms = {
        EXACT: sent,
        "NUL is U+FFFD": sent.replace("\0", "\ufffd"),
        "NUL dropped": sent.replace("\0", ""),
        "control characters are escapes": _escape(sent),
        "non-ASCII characters are escapes": json.dumps(sent)[1:-1],
    }
    for name, form in forms.items():
        if text == form:
            return name
    if _escape(text) == _escape(sent):
        return "some control characters are escapes"
    if re.sub(r"\r\n?", "\n", sent) == re.sub(r"\r\n?", "\n", text):
        return "line breaks changed"
    return "cut" if sent.startswith(text) else "changed"


def _escape(text: str) -> str:
    """Return text with the escapes of JSON for control characters."""
    return _CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _nested_outcome(sent: Any, got: Any) -> str:
    if not isinstance(got, str):
        return _json_outcome(sent, got)
    try:
        found = json.loads(got, parse_float=Decimal)
    except ValueError:
        return "Python literal" if _is_literal(got) else "not JSON"
    result = _json_outcome(sent, found)
    return "JSON text" if result == EXACT else result


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(re.sub(r"Decimal\('([^']*)'\)", r"\1", text))
    except (ValueError, SyntaxError):
        return False
    return True


def _json_outcome(sent: Any, got: Any) -> str:
    """Return the worst outcome of the values inside."""
    found = Counter(_inner_outcomes(sent, got))
    for worst in ("changed", "rounded", "double", "decimals as text", "date-times reformatted"):
        if found[worst]:
            return worst
    return EXACT


def _inner_outcomes(sent: Any, got: Any) -> Iterable[str]:
    match sent:
        case dict() if isinstance(got, dict) and set(sent) == set(got):
            for name, value in sent.items():
                yield from _inner_outcomes(value, got[name])
        case list() if isinstance(got, list) and len(sent) == len(got):
            for value, other in zip(sent, got, strict=True):
                yield from _inner_outcomes(value, other)
        case bool() | None:
            yield EXACT if got is sent else "changed"
        case int() | Decimal() if isinstance(got, str):
            yield "decimals as text" if to_decimal(got) == sent else "changed"
        case int() | Decimal():
            result = _number_outcome(sent, got)
            yield "changed" if result == "no number" else result
        case str() if isinstance(got, (str, datetime)):
            if got == sent or (isinstance(got, str) and got == sent.replace("\0", "\ufffd")):
                yield EXACT
            else:
                first, second = _to_datetime(sent), _to_datetime(got)
                same = first is not None and second is not None
                same = same and _in_utc(first) == _in_utc(second)  # type: ignore[arg-type]
                yield "date-times reformatted" if same else "changed"
        case _:
            yield "changed"


_OUTCOMES: Final[Mapping[str, Callable[[Any, Any], str]]] = {
    "number": _number_outcome,
    "integer": _number_outcome,
    "boolean": _boolean_outcome,
    "date": _date_outcome,
    "date-time": _instant_outcome,
    "nested": _nested_outcome,
    _EXTRA: _nested_outcome,
}


# Rows


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


_NAMES: Final = {
    "kept": lambda name: name,
    "lower case": str.lower,
    "snake_case": _snake_case,
}


@dataclass
class Comparison:
    """The outcomes of all values.

    Attributes:
        outcomes: Number of values by kind of field and outcome.
        examples: For each of these that changes a value: the field, what was sent and what was
            stored.
        names: How columns are named.
        rows: Number of rows compared.
        tables: Names of all tables.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    tables: frozenset[str] = frozenset()

    def add_row(self, stream: str, schema: Schema, sent: Record, got: Mapping[str, Any]) -> None:
        """Compare a record with a stored row."""
        self.rows += 1
        columns = {column.removeprefix("_") for column in got} | set(got)
        for name, definition in schema["properties"].items():
            kind, value = kind_of(name, definition), sent[name]
            form = next((key for key, rule in _NAMES.items() if rule(name) in columns), None)
            if form is None:
                own = {f"{stream}__{rule(name)}" for rule in _NAMES.values()}
                is_table = bool(own & self.tables)
                result = self._missing(definition, name, value, got)
                result, stored = "separate table" if is_table else result, None
            else:
                if name != name.lower():
                    self.names[form] += 1
                column = _NAMES[form](name)
                stored = got[column] if column in got else got[f"_{column}"]
                result = outcome(kind, value, stored)
            self._count(kind, f"{stream}.{name}", value, stored, result)

    def _missing(self, definition: Schema, name: str, sent: Any, got: Mapping[str, Any]) -> str:
        """Name the outcome of a field without a separate column."""
        forms = {rule(name) for rule in _NAMES.values()}
        parts = {
            column.partition("__")[2]: value
            for column, value in got.items()
            if column.partition("__")[0] in forms and "__" in column
        }
        if not parts:
            return "no column" if sent is None else "dropped"
        for key, value in (sent if isinstance(sent, dict) else {}).items():
            inner = definition.get("properties", {}).get(key, {"type": _json_type(value)})
            column = next(
                (one for one in (rule(key) for rule in _NAMES.values()) if one in parts), ""
            )
            stored = parts.get(column)
            if outcome(kind_of(key, inner), value, stored) not in HARMLESS:
                return "flattened, values changed"
        return "flattened"

    def _count(self, kind: str, name: str, sent: Any, got: Any, result: str) -> None:
        if sent is None:
            kind = "null"
        elif kind == "string":
            kind = "empty text" if sent == "" else "text"
            if _CONTROL.search(sent):
                kind = "control characters"
        self.outcomes.setdefault(kind, Counter())[result] += 1
        if result not in HARMLESS:
            examples = self.examples.setdefault(kind, {})
            examples.setdefault(result, [name, _shorten(sent), _shorten(got)])


def _json_type(value: Any) -> str:
    """Return the type of a value that no schema declares."""
    match value:
        case bool():
            return "boolean"
        case int() | Decimal():
            return "number"
        case list() | dict():
            return "array"
        case _:
            return "string"


def _shorten(value: Any) -> str:
    text = str(value) if isinstance(value, (Decimal, datetime, date)) else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}… ({len(text)} characters)"


@dataclass
class Table:
    """Rows after the nights, compared.

    Attributes:
        mode: What the loader does with rows that come again.
        lost: Number of rows that are missing.
        surplus: Number of rows that were not sent, or sent less often.
    """

    mode: str
    lost: int
    surplus: int
    comparison: Comparison


def compare_nights(
    nights: Sequence[Mapping[str, Sequence[Record]]],
    stored: Mapping[str, Sequence[Mapping[str, Any]]],
    schemas: Mapping[str, Schema],
) -> Table:
    """Compare the rows stored after some nights with the records of these nights.

    The mode with the fewest missing and surplus rows is the loader's.
    """
    everything = [{stream: list(night.get(stream, ())) for stream in schemas} for night in nights]
    expectations = {
        "append": {s: [row for night in everything for row in night[s]] for s in schemas},
        "upsert": {
            s: list({row["id"]: row for night in everything for row in night[s]}.values())
            for s in schemas
        },
        "only the last night": everything[-1],
        "never updates": {
            s: list(
                {row["id"]: row for night in everything[::-1] for row in night[s][::-1]}.values()
            )
            for s in schemas
        },
    }
    found = {stream: Counter(_id_of(row) for row in stored.get(stream, ())) for stream in schemas}
    differences = {
        mode: sum(_distance(rows[stream], found[stream]) for stream in schemas)
        for mode, rows in expectations.items()
    }
    fewest = min(differences.values())
    candidates = [mode for mode, number in differences.items() if number == fewest]
    # "never updates" has the rows of "upsert", but older values.
    tables = (_compare(mode, expectations[mode], stored, schemas) for mode in candidates)
    return min(tables, key=_changed)


def _index_of_version(record: Record, rows: Sequence[Mapping[str, Any]]) -> int:
    """Return the first row with the `updatedOn` of a record: some databases keep no order."""
    second = str(record.get("updatedOn"))[:19]
    for index, row in enumerate(rows):
        names = (column for column in row if column.lower().replace("_", "") == "updatedon")
        if str(row.get(next(names, ""))).replace(" ", "T").startswith(second):
            return index
    return 0


def _id_of(row: Mapping[str, Any]) -> int:
    return int(row["id"] if "id" in row else row["_id"])


def _distance(expected: Sequence[Record], found: Counter[int]) -> int:
    """Return the number of missing and surplus rows."""
    sent = Counter(record["id"] for record in expected)
    return (sent - found).total() + (found - sent).total()


def _one_per_key(nights: Iterable[Sequence[Record]]) -> list[Record]:
    """Return the last record of each id."""
    return list({row["id"]: row for night in nights for row in night}.values())


def _changed(table: Table) -> int:
    counts = table.comparison.outcomes.values()
    return sum(number for found in counts for name, number in found.items() if name not in HARMLESS)


def _compare(
    mode: str,
    expected: Mapping[str, Sequence[Record]],
    stored: Mapping[str, Sequence[Mapping[str, Any]]],
    schemas: Mapping[str, Schema],
) -> Table:
    table = Table(mode, 0, 0, Comparison(tables=frozenset(stored)))
    for stream, schema in schemas.items():
        found: dict[int, list[Mapping[str, Any]]] = {}
        for row in stored.get(stream, ()):
            found.setdefault(_id_of(row), []).append(row)
        for record in expected[stream]:
            rows = found.get(record["id"])
            if rows:
                got = rows.pop(_index_of_version(record, rows))
                table.comparison.add_row(stream, schema, record, got)
            else:
                table.lost += 1
        table.surplus += sum(map(len, found.values()))
    return table
