"""Queries: a snapshot of rows in an order of its own, the wait before it, and its pages."""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from .dataset import encode
from .responses import JSON, CompleteResponse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .dataset import Dated

State: TypeAlias = Literal["queued", "running", "ready"]
Number = TypeVar("Number", int, float)

MAX_PAGE_SIZE = 999
_SHUFFLES = 8


@dataclass
class Timing:
    """How long queries wait, each a number for all streams or a number by stream (others: 0).

    `queued_seconds` and `running_seconds` are seconds of the simulator's clock. `queued_polls` and
    `running_polls` are how many 201 and 202 a query answers at least, whatever the clock says.
    Changes of these apply to queries that are submitted afterwards. `page_seconds` are seconds of
    real time before each page goes out; changes apply at once.
    """

    queued_seconds: float | Mapping[str, float] = 0.0
    running_seconds: float | Mapping[str, float] = 0.0
    queued_polls: int | Mapping[str, int] = 0
    running_polls: int | Mapping[str, int] = 0
    page_seconds: float | Mapping[str, float] = 0.0


def of_stream(setting: Number | Mapping[str, Number], stream: str) -> Number:
    """Return a setting's value for one stream."""
    if isinstance(setting, Mapping):
        return setting.get(stream, 0)
    return setting


@dataclass(frozen=True)
class Page:
    """Encoded rows, and the token of the page after them (None on the last page)."""

    rows: Sequence[bytes]
    next_token: str | None

    def response(
        self, *, key: str = "NextToken", last: tuple[object, ...] = ()
    ) -> CompleteResponse:
        """Return the page as the service sends it: the last one has no token key.

        `key` renames the key; `last` is (value,) for a key with that value on the last page.
        """
        end = b"]"
        if self.next_token is not None:
            last = (self.next_token,)
        for value in last:
            end = b"]," + encode(key) + b":" + encode(value)
        return CompleteResponse(
            200, b'{"Results":[' + b",".join(self.rows) + end + b"}", {"Content-Type": JSON}
        )


@dataclass
class Query:
    """One submitted query: `rows` are its encoded rows in the order of its pages.

    `submitted` is seconds of the simulator's clock. `ended` is the answer of a query that failed or
    was cancelled. `observed` tells whether a client has been told that the query is over.
    """

    id: str
    stream: str
    submitted: float
    queued_seconds: float
    running_seconds: float
    queued_polls: int
    running_polls: int
    rows: Sequence[bytes] = ()
    failure: CompleteResponse | None = None
    observed: bool = False
    _issued_tokens: dict[str, int] = field(default_factory=dict)
    _empty_pages: dict[str | None, str] = field(default_factory=dict)

    def state(self, at: float) -> State:
        """Return the state at `at` seconds of the simulator's clock, before this moment's poll."""
        elapsed = at - self.submitted
        if elapsed < self.queued_seconds or self.queued_polls > 0:
            return "queued"
        if elapsed < self.queued_seconds + self.running_seconds or self.running_polls > 0:
            return "running"
        return "ready"

    def count_poll(self, state: State) -> None:
        """Take note that a client was told `state`."""
        if state == "queued":
            self.queued_polls -= 1
        elif state == "running":
            self.running_polls -= 1

    def fail(self, answer: CompleteResponse) -> None:
        """Let the query fail or be cancelled: every later request for it gets `answer`."""
        self.failure = answer

    def has_issued(self, token: str) -> bool:
        """Tell whether the token was given to a client for this query."""
        return token in self._issued_tokens

    @property
    def first_token(self) -> str | None:
        """The first token that was given to a client, that of the second page."""
        return next(iter(self._issued_tokens), None)

    def page(self, token: str | None, size: int) -> Page:
        """Return the page of a token (None: the first page), with at most `size` rows."""
        if token in self._empty_pages:
            return Page((), self._empty_pages[token])
        offset = 0 if token is None else self._issued_tokens[token]
        end = offset + size
        more = end < len(self.rows)
        return Page(self.rows[offset:end], self._issue_token(end) if more else None)

    def insert_empty_page(self, token: str | None) -> None:
        """Put an empty page before the page of a token; a retry of the token finds it again."""
        if token not in self._empty_pages:
            offset = 0 if token is None else self._issued_tokens[token]
            self._empty_pages[token] = self._issue_token(offset, salt=len(self._empty_pages) + 1)

    def issue_token(self, offset: int) -> str:
        """Return a token that was never given before, for the rows from an offset on."""
        return self._issue_token(offset, salt=1000 + len(self._issued_tokens))

    def _issue_token(self, offset: int, salt: int = 0) -> str:
        digest = b64encode(sha256(f"{self.id}:{offset}:{salt}".encode()).digest()[:24]).decode()
        # Every character here means something else in a URL unless it is encoded.
        token = f"{digest[:8]}+{digest[8:16]}/{digest[16:24]}&{digest[24:]}%2B=="
        self._issued_tokens[token] = offset
        return token


class TooManyQueriesError(Exception):
    """The service runs as many queries as it is willing to."""


class QueryStore:
    """Every query since the start. Unfinished are those that no client knows to be over.

    `max_active` is how many may be unfinished at once (None: any number); `peak_active` is how
    many were.
    """

    def __init__(self, *, seed: int, max_active: int | None) -> None:
        """Start without any query."""
        self.max_active = max_active
        self.peak_active = 0
        self._ids = Random(f"{seed}:queries")  # noqa: S311 - not for secrets
        self._seed = seed
        self._queries: dict[str, Query] = {}
        self._unfinished: list[Query] = []
        self._times: dict[tuple[str, str, str], int] = {}
        self._lock = Lock()

    def get(self, query_id: str) -> Query | None:
        """Return the query with this id, of whatever stream."""
        return self._queries.get(query_id)

    @property
    def active(self) -> int:
        """How many queries are unfinished now."""
        with self._lock:
            return len(self._prune())

    def restart_peak(self) -> None:
        """Count `peak_active` anew from the queries that are unfinished now."""
        with self._lock:
            self.peak_active = len(self._prune())

    def submit(self, stream: str, timing: Timing, at: float) -> Query:
        """Start a query without its rows; raise TooManyQueriesError at the limit."""
        with self._lock:
            unfinished = self._prune()
            if self.max_active is not None and len(unfinished) >= self.max_active:
                raise TooManyQueriesError
            query = Query(
                id=str(uuid.UUID(int=self._ids.getrandbits(128), version=4)),
                stream=stream,
                submitted=at,
                queued_seconds=of_stream(timing.queued_seconds, stream),
                running_seconds=of_stream(timing.running_seconds, stream),
                queued_polls=of_stream(timing.queued_polls, stream),
                running_polls=of_stream(timing.running_polls, stream),
            )
            self._queries[query.id] = query
            unfinished.append(query)
            self.peak_active = max(self.peak_active, len(unfinished))
            return query

    def order(self, stream: str, start: str, end: str, rows: list[Dated]) -> list[bytes]:
        """Return the rows in the order of the next query for this stream and window.

        The order depends on the seed, the stream, the window as it was written and how often that
        was asked before, not on what other queries run: two fresh simulators agree.
        """
        window = (stream, start, end)
        with self._lock:
            turn = self._times.get(window, 0)
            self._times[window] = turn + 1
        return shuffled(rows, Random(f"{self._seed}:{':'.join(window)}:{turn}"))  # noqa: S311 - not for secrets

    def _prune(self) -> list[Query]:
        self._unfinished = [query for query in self._unfinished if not query.observed]
        return self._unfinished


def shuffled(rows: list[Dated], source: Random) -> list[bytes]:
    """Return the rows in an order that is sorted neither by date nor by place, if there is one."""
    order = list(range(len(rows)))
    for _ in range(_SHUFFLES):
        source.shuffle(order)
        dates = [rows[place][0] for place in order]
        if not (_ascends(order) or _ascends([date for date in dates if date is not None])):
            break
    return [rows[place][1] for place in order]


def _ascends(values: Sequence[int] | Sequence[datetime]) -> bool:
    return all(left <= right for left, right in pairwise(values))  # type: ignore[operator]
