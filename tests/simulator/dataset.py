"""The data behind the service: rows made from the streams' schemas, the same for the same seed."""

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

from .row_factory import Place, When, compile_object
from .timestamps import DAY, MINUTE, SECOND, format_timestamp, parse_timestamp, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from importlib.resources.abc import Traversable

    from .row_factory import Maker, Schema

Row: TypeAlias = dict[str, Any]
Dated: TypeAlias = tuple["datetime | None", bytes]

SCHEMA_PACKAGE = "tap_campusgroups.schemas"
ADDED_STREAMS = MappingProxyType(
    {"1.1": {"stores", "store_products", "announcements", "announcement_recipients"}}
)
"""Endpoints that the document does not have and a later specification does, by its version."""
DEFAULT_SPAN = timedelta(days=400)
_QUARTER = 15 * MINUTE
_LONGEST_LIFE = 500 * DAY


def load_schemas(folder: Traversable) -> dict[str, Schema]:
    """Return the JSON schema of every stream, from `<stream>.json` files, by name of the stream."""
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".json")),
        key=lambda entry: entry.name,
    )
    return {
        entry.name.removesuffix(".json"): json.loads(entry.read_text(encoding="utf-8"))
        for entry in files
    }


@cache
def tap_schemas(api_version: str = "1.0") -> Mapping[str, Schema]:
    """Return the schemas that the tap ships for a version of the API, read once."""
    schemas = load_schemas(resources.files(SCHEMA_PACKAGE))
    for version, streams in ADDED_STREAMS.items():
        if api_version < version:
            schemas = {name: schema for name, schema in schemas.items() if name not in streams}
    return MappingProxyType(schemas)


class Dataset:
    """The rows of every stream, made when a stream is first asked for.

    `rows` is rows per stream: one number for all, or a number by stream (streams left out are
    empty). Row i of a stream depends on `seed`, the stream and i, on `newest` and `span`, and, in
    its foreign keys, on how many rows the other streams have. `updatedOn` lies in
    [newest - span, newest] (UTC); row 1, and only it, is exactly at `newest`. `schemas` are
    there in place of the tap's for version 1.0: `tap_schemas("1.1")`, or `load_schemas` of a
    folder.

    `dataset[stream]` is a plain list of JSON-ready rows. A test may change it and its rows: the
    service serves the change to the next query. After `freeze()` it may not, and serving is faster.
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
        """Read the schemas; rows are made later."""
        if newest.tzinfo is None:
            message = "newest must be an aware datetime"
            raise ValueError(message)
        self.seed = seed
        self.newest = newest.astimezone(UTC)
        self.span = span
        self._schemas = tap_schemas() if schemas is None else schemas
        self.counts = MappingProxyType(self._count(rows))
        self._makers: dict[tuple[str, bool], Maker] = {}
        self._rows: dict[str, list[Row]] = {}
        self._encoded: dict[str, list[Dated]] = {}
        self._frozen = False
        self._lock = RLock()

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the streams, sorted."""
        return tuple(self._schemas)

    def schema(self, stream: str) -> Schema:
        """Return the JSON schema that the stream's rows follow."""
        return self._schemas[stream]

    def __contains__(self, stream: object) -> bool:
        """Tell whether there is such a stream."""
        return stream in self._schemas

    def __getitem__(self, stream: str) -> list[Row]:
        """Return the stream's rows: the very list that queries are answered from."""
        with self._lock:
            if self._frozen:
                message = "the dataset is frozen"
                raise RuntimeError(message)
            if stream not in self._rows:
                self._rows[stream] = list(self._generate(stream))
            return self._rows[stream]

    def row(self, stream: str, number: int) -> Row:
        """Return row `number` (from 1) as it was made, whatever was done to the list since."""
        return self._one(stream, number, full=False)

    def full_row(self, stream: str, number: int = 1) -> Row:
        """Return a row with the id and `updatedOn` of row `number` and with no null or empty value.

        Its other values need not be those of `row(stream, number)`.
        """
        return self._one(stream, number, full=True)

    def freeze(self) -> None:
        """Promise that no row changes from here on, so that a row is encoded once only.

        Streams that were not asked for before are then never held as objects, which is what makes
        a million rows fit into memory.
        """
        with self._lock:
            self._frozen = True

    def preload(self) -> int:
        """Make every row now, in place of when it is first asked for; return how many there are."""
        with self._lock:
            if self._frozen:
                return sum(len(self._all_encoded(stream)) for stream in self._schemas)
            return sum(len(self[stream]) for stream in self._schemas)

    def select(self, stream: str, start: datetime, end: datetime) -> list[Dated]:
        """Return the rows with `updatedOn` in [start, end], that instant and the encoded row.

        They are in the order of the list. A row without a usable `updatedOn` matches no window, as
        in SQL.
        """
        return [
            dated
            for dated in self._all_encoded(stream)
            if dated[0] is not None and start <= dated[0] <= end
        ]

    def _all_encoded(self, stream: str) -> list[Dated]:
        with self._lock:
            if not self._frozen:
                # A copy, because a test may append to the list at the same time.
                return _encode_all(list(self[stream]))
            if stream not in self._encoded:
                made = self._rows.pop(stream, None)
                rows = self._generate(stream) if made is None else made
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
        make = self._row_maker(stream, full=False)
        return (make(number) for number in range(1, self.counts[stream] + 1))

    def _one(self, stream: str, number: int, *, full: bool) -> Row:
        if number < 1:
            message = "rows are numbered from 1"
            raise ValueError(message)
        return self._row_maker(stream, full=full)(number)

    def _row_maker(self, stream: str, *, full: bool) -> Callable[[int], Row]:
        """Return a function from a row's number to the row."""
        key = (stream, full)
        if key not in self._makers:
            place = Place(stream=stream, counts=self.counts, full=full)
            self._makers[key] = compile_object(self._schemas[stream], place)
        maker = self._makers[key]
        prefix = f"{self.seed}:{stream}:"
        newest = to_milliseconds(self.newest)
        # A second less than the span: a form without a fraction is cut to the second.
        width = max(1, self.span // timedelta(milliseconds=1) - SECOND)
        source = Random()  # noqa: S311 - not for secrets
        random = source.random

        def make(number: int) -> Row:
            # Seeding the one generator anew makes row i independent of the rows before it.
            source.seed(f"{prefix}{number}")
            updated = newest if number == 1 else newest - 1 - int(random() * width)
            # At least a second: `updatedOn` without a fraction must not fall before `createdOn`.
            created = updated - SECOND - int(random() ** 2 * _LONGEST_LIFE)
            start = created - created % _QUARTER + _QUARTER * (1 + int(random() * 4_000))
            row: Row = maker(random, number, When(updated, created, start))
            if number == 1:
                row["updatedOn"] = self._newest_text()
            return row

        return make

    def _newest_text(self) -> str:
        if self.newest.microsecond % 1_000:
            return self.newest.isoformat().replace("+00:00", "Z")
        return format_timestamp(to_milliseconds(self.newest))


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode(value: object) -> bytes:
    """Return compact JSON in UTF-8."""
    text = _to_json(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair has no UTF-8 form, but JSON can escape it.
        return json.dumps(value, separators=(",", ":")).encode()


def _encode_all(rows: Iterable[object]) -> list[Dated]:
    return [
        (parse_timestamp(row.get("updatedOn") if isinstance(row, Mapping) else None), encode(row))
        for row in rows
    ]
