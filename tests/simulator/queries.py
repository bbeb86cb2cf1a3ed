"""Queries: a snapshot of rows in random order, the wait before it is ready, and its pages."""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from .dataset import encode
from .responses import CompleteResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .dataset import EncodedRow

QueryState: TypeAlias = Literal["queued", "running", "ready"]
Number = TypeVar("Number", int, float)

MAX_PAGE_SIZE = 999


@dataclass
class Timing:
    """Waiting times and limits; changes of `page_seconds` apply immediately, others to later POSTs.

    A waiting time is one number for all streams, or a number by stream (others: 0).

    Attributes:
        running_seconds: How long a query runs, by the simulator's clock.
        queued_polls: Minimum number of 201 responses, regardless of the clock.
        running_polls: Minimum number of 202 responses, regardless of the clock.
        page_seconds: Delay before each page, in real time.
        max_active: Number of active queries at which a POST gets 429 (None: no limit).
    """

    running_seconds: float | Mapping[str, float] = 0.0
    queued_polls: int | Mapping[str, int] = 0
    running_polls: int | Mapping[str, int] = 0
    page_seconds: float | Mapping[str, float] = 0.0
    max_active: int | None = None


def value_for(setting: Number | Mapping[str, Number], stream: str) -> Number:
    """Return a setting's value for one stream."""
    if isinstance(setting, Mapping):
        return setting.get(stream, 0)
    return setting


@dataclass(frozen=True)
class Page:
    """Encoded rows, and the token of the next page (None on the last page)."""

    rows: Sequence[bytes]
    next_token: str | None

    def response(self) -> CompleteResponse:
        """Return the page as the service sends it; the last page has no token key."""
        token = b"" if self.next_token is None else b',"NextToken":' + encode(self.next_token)
        return CompleteResponse(200, b'{"Results":[' + b",".join(self.rows) + b"]" + token + b"}")


@dataclass
class Query:
    """A submitted query.

    Attributes:
        submitted: When it was submitted, in seconds of the simulator's clock.
        rows: Encoded rows in the order of the pages.
        failure: Response to every request for a query that failed or was cancelled.
        is_finished: Whether a client knows that the query is over.
    """

    id: str
    stream: str
    submitted: float
    running_seconds: float
    queued_polls: int
    running_polls: int
    rows: Sequence[bytes] = ()
    failure: CompleteResponse | None = None
    is_finished: bool = False
    _offsets: dict[str, int] = field(default_factory=dict)
    _empty_pages: dict[str | None, str] = field(default_factory=dict)

    def state(self, at: float) -> QueryState:
        """Return the state at `at` seconds of the simulator's clock."""
        elapsed = at - self.submitted
        if self.queued_polls > 0:
            return "queued"
        if elapsed < self.running_seconds or self.running_polls > 0:
            return "running"
        return "ready"

    def count_poll(self, state: QueryState) -> None:
        """Count a poll that was answered with `state`."""
        if state == "queued":
            self.queued_polls -= 1
        elif state == "running":
            self.running_polls -= 1

    def fail(self, response: CompleteResponse) -> None:
        """End the query: every later request for it gets `response`."""
        self.failure = response

    def has_issued(self, token: str) -> bool:
        """Return whether the token belongs to this query."""
        return token in self._offsets

    @property
    def first_token(self) -> str | None:
        """The first token that was issued, that of the second page."""
        return next(iter(self._offsets), None)

    def page(self, token: str | None, size: int) -> Page:
        """Return the page of a token (None: the first page) with at most `size` rows."""
        if token in self._empty_pages:
            return Page((), self._empty_pages[token])
        offset = 0 if token is None else self._offsets[token]
        end = offset + size
        has_more = end < len(self.rows)
        return Page(self.rows[offset:end], self.issue_token(end, 0) if has_more else None)

    def insert_empty_page(self, token: str | None) -> None:
        """Insert an empty page before the page of a token; a retry gets the empty page again."""
        if token not in self._empty_pages:
            offset = 0 if token is None else self._offsets[token]
            self._empty_pages[token] = self.issue_token(offset, len(self._empty_pages) + 1)

    def issue_token(self, offset: int, salt: int | None = None) -> str:
        """Return the token for the rows from an offset; a new one without a salt."""
        salt = 1000 + len(self._offsets) if salt is None else salt
        digest = b64encode(sha256(f"{self.id}:{offset}:{salt}".encode()).digest()[:24]).decode()
        # Contains every character that must be percent-encoded in a query string.
        token = f"{digest[:8]}+{digest[8:16]}/{digest[16:24]}&{digest[24:]}%2B=="
        self._offsets[token] = offset
        return token


class TooManyQueriesError(Exception):
    """The limit of active queries is reached."""


class QueryStore:
    """All queries. A query is active until a client knows that it is over.

    Attributes:
        peak_active: Highest number of queries that were active at once.
    """

    def __init__(self, *, seed: int) -> None:
        self.peak_active = 0
        self._ids = Random(f"{seed}:queries")  # noqa: S311 - not for secrets
        self._seed = seed
        self._queries: dict[str, Query] = {}
        self._active: list[Query] = []
        self._submissions: dict[tuple[str, str, str], int] = {}
        self._lock = Lock()

    def get(self, query_id: str) -> Query | None:
        """Return the query with this id, of any stream."""
        return self._queries.get(query_id)

    @property
    def active(self) -> int:
        """Number of active queries."""
        with self._lock:
            return len(self._prune())

    def reset_peak(self) -> None:
        """Restart `peak_active` from the queries that are active now."""
        with self._lock:
            self.peak_active = len(self._prune())

    def submit(self, stream: str, timing: Timing, at: float) -> Query:
        """Start a query without rows; raise TooManyQueriesError at the limit."""
        with self._lock:
            active = self._prune()
            if timing.max_active is not None and len(active) >= timing.max_active:
                raise TooManyQueriesError
            query = Query(
                id=str(uuid.UUID(int=self._ids.getrandbits(128), version=4)),
                stream=stream,
                submitted=at,
                running_seconds=value_for(timing.running_seconds, stream),
                queued_polls=value_for(timing.queued_polls, stream),
                running_polls=value_for(timing.running_polls, stream),
            )
            self._queries[query.id] = query
            active.append(query)
            self.peak_active = max(self.peak_active, len(active))
            return query

    def shuffle(self, stream: str, start: str, end: str, rows: list[EncodedRow]) -> list[bytes]:
        """Return the rows in the order of the next query for this stream and window.

        The order depends on the seed, the stream, the window as written and the number of earlier
        queries for it, but not on other queries: two fresh simulators agree.
        """
        window = (stream, start, end)
        with self._lock:
            number = self._submissions.get(window, 0)
            self._submissions[window] = number + 1
        encoded = [row for _, row in rows]
        Random(f"{self._seed}:{':'.join(window)}:{number}").shuffle(encoded)  # noqa: S311 - not for secrets
        return encoded

    def _prune(self) -> list[Query]:
        self._active = [query for query in self._active if not query.is_finished]
        return self._active
