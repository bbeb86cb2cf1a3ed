"""Rows behind the service, generated from the streams' schemas; reproducible by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from random import Random
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from .row_factory import FieldContext, RowTimes, compile_object
from .timestamps import DAY, MINUTE, SECOND, parse_timestamp, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .row_factory import Schema, ValueFactory

Row: TypeAlias = dict[str, Any]
EncodedRow: TypeAlias = tuple["datetime | None", bytes]

SCHEMA_PACKAGE = "tap_campusgroups.schemas"
ADDED_STREAMS = MappingProxyType(
    {"1.1": {"stores", "store_products", "announcements", "announcement_recipients"}}
)
"""Streams that a later version of the specification added, by version."""
DEFAULT_SPAN = timedelta(days=400)
_QUARTER = 15 * MINUTE
_LONGEST_LIFE = 500 * DAY


@cache
def tap_schemas(api_version: str = "1.0") -> Mapping[str, Schema]:
    """Return the tap's schemas for a version of the API, by stream."""
    added = {
        stream
        for version, streams in ADDED_STREAMS.items()
        if api_version < version
        for stream in streams
    }
    schemas: dict[str, Schema] = {}
    for entry in sorted(resources.files(SCHEMA_PACKAGE).iterdir(), key=lambda entry: entry.name):
        stream, _, extension = entry.name.rpartition(".")
        if extension == "json" and stream not in added:
            schemas[stream] = json.loads(entry.read_text(encoding="utf-8"))
    return MappingProxyType(schemas)


class Dataset:
    """The rows of every stream, generated on first use.

    `dataset[stream]` is a plain list of JSON-ready rows. A test may change the list and its rows:
    the next query sees the change. After `freeze()` it may not, and serving is faster.

    Args:
        rows: Rows per stream: one number for all, or a number by stream (others are empty).
        seed: Seed; row i of a stream depends on it, the stream, i, `newest` and `span`, and its
            foreign keys on the row counts of the other streams.
        newest: `updatedOn` of row 1 of every stream; all other rows are older.
        span: How far `updatedOn` reaches back.
        schemas: Schemas instead of the tap's for version 1.0, such as `tap_schemas("1.1")`.
    """

    def __init__(
        self,
        rows: int | Mapping[str, int] = 50,
        *,
        seed: int = 0,
        newest: datetime,
        span: timedelta = DEFAULT_SPAN,
        schemas: Mapping[str, Schema] | None = None,
    ) -> None:
        self.seed = seed
        self.newest = newest.astimezone(UTC)
        self.span = span
        self._schemas = tap_schemas() if schemas is None else schemas
        self.counts = MappingProxyType(self._count(rows))
        self._factories: dict[tuple[str, bool], ValueFactory] = {}
        self._rows: dict[str, list[Row]] = {}
        self._encoded: dict[str, list[EncodedRow]] = {}
        self._frozen = False
        self._lock = RLock()

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the streams, sorted."""
        return tuple(self._schemas)

    def schema(self, stream: str) -> Schema:
        """Return a stream's JSON schema."""
        return self._schemas[stream]

    def __contains__(self, stream: object) -> bool:
        """Return whether there is such a stream."""
        return stream in self._schemas

    def __getitem__(self, stream: str) -> list[Row]:
        """Return the list of rows that queries are answered from."""
        with self._lock:
            if self._frozen:
                message = "the dataset is frozen"
                raise RuntimeError(message)
            if stream not in self._rows:
                self._rows[stream] = list(self._generate(stream))
            return self._rows[stream]

    def row(self, stream: str, number: int) -> Row:
        """Return row `number` (from 1) as generated, regardless of changes to the list."""
        return self._row_factory(stream, full=False)(number)

    def full_row(self, stream: str, number: int = 1) -> Row:
        """Return a row with no null or empty values; id and `updatedOn` are those of `row()`."""
        return self._row_factory(stream, full=True)(number)

    def freeze(self) -> None:
        """Forbid further changes, so that each row is encoded only once.

        Streams that were not accessed before are never kept as objects: a million rows fit into
        memory.
        """
        with self._lock:
            self._frozen = True

    def preload(self) -> int:
        """Generate and encode every row now and return their number."""
        return sum(len(self._all_encoded(stream)) for stream in self._schemas)

    def select(self, stream: str, start: datetime, end: datetime) -> list[EncodedRow]:
        """Return the rows with `updatedOn` in [start, end], in the order of the list.

        As in SQL, a row without a usable `updatedOn` matches no window.
        """
        return [
            (updated, row)
            for updated, row in self._all_encoded(stream)
            if updated is not None and start <= updated <= end
        ]

    def _all_encoded(self, stream: str) -> list[EncodedRow]:
        with self._lock:
            if not self._frozen:
                # A copy: a test may append to the list in another thread.
                return _encode_all(list(self[stream]))
            if stream not in self._encoded:
                existing = self._rows.pop(stream, None)
                rows = self._generate(stream) if existing is None else existing
                self._encoded[stream] = _encode_all(rows)
            return self._encoded[stream]

    def _count(self, rows: int | Mapping[str, int]) -> dict[str, int]:
        if not isinstance(rows, Mapping):
            return dict.fromkeys(self._schemas, rows)
        unknown = sorted(set(rows) - set(self._schemas))
        if unknown:
            message = f"no such stream: {', '.join(unknown)}"
            raise ValueError(message)
        return {stream: rows.get(stream, 0) for stream in self._schemas}

    def _generate(self, stream: str) -> Iterator[Row]:
        make = self._row_factory(stream, full=False)
        return (make(number) for number in range(1, self.counts[stream] + 1))

    def _row_factory(self, stream: str, *, full: bool) -> Callable[[int], Row]:
        """Return a function that makes the row of a number."""
        key = (stream, full)
        if key not in self._factories:
            context = FieldContext(stream=stream, counts=self.counts, full=full)
            self._factories[key] = compile_object(self._schemas[stream], context)
        factory = self._factories[key]
        prefix = f"{self.seed}:{stream}:"
        newest = to_milliseconds(self.newest)
        newest_text = f"{self.newest:%Y-%m-%dT%H:%M:%S.%f}".removesuffix("000") + "Z"
        # One second less than the span: formats without a fraction are cut to the second.
        width = max(1, self.span // timedelta(milliseconds=1) - SECOND)
        source = Random()  # noqa: S311 - not for secrets
        random = source.random

        def make(number: int) -> Row:
            # Reseeding makes each row independent of the rows before it.
            source.seed(f"{prefix}{number}")
            updated = newest if number == 1 else newest - 1 - int(random() * width)
            # At least one second: `updatedOn` without a fraction must not precede `createdOn`.
            created = updated - SECOND - int(random() ** 2 * _LONGEST_LIFE)
            start = created - created % _QUARTER + _QUARTER * (1 + int(random() * 4_000))
            row: Row = factory(random, number, RowTimes(updated, created, start))
            if number == 1:
                row["updatedOn"] = newest_text
            return row

        return make


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode(value: object) -> bytes:
    """Return compact JSON in UTF-8."""
    text = _to_json(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 encoding, but JSON can escape it.
        return json.dumps(value, separators=(",", ":")).encode()


def _encode_all(rows: Iterable[object]) -> list[EncodedRow]:
    return [
        (parse_timestamp(row.get("updatedOn") if isinstance(row, Mapping) else None), encode(row))
        for row in rows
    ]
