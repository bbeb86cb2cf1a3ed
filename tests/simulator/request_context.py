"""Requests whose answers are watermark but not given yet: what the service and its faults share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from .queries import MAX_PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .queries import Page, Query
    from .responses import CompleteResponse

Phase: TypeAlias = Literal["submit", "poll", "first_page", "later_page"]
PHASES: tuple[Phase, ...] = get_args(Phase)
PAGES = frozenset({"first_page", "later_page"})
RecordedPhase: TypeAlias = Phase | Literal["refused"]


@dataclass
class RequestContext:
    """A request whose answer is watermark but not given yet, as a fault's kind sees it.

    `planned` is the status the service is about to answer. `query` is set for a GET of a query that
    exists, and for a submit once `answer()` was called. `window` is what a submit asks for.
    """

    stream: str | None
    phase: RecordedPhase
    planned: int
    _finish: Callable[[RequestContext], CompleteResponse]
    query: Query | None = None
    token: str | None = None
    size: int = MAX_PAGE_SIZE
    window: tuple[datetime, datetime] | None = None

    def execute(self) -> CompleteResponse:
        """Let the service do what was asked and return what it says."""
        return self._finish(self)

    @property
    def existing_query(self) -> Query:
        """The query of a GET."""
        if self.query is None:
            message = f"a request in phase {self.phase} has no query yet"
            raise LookupError(message)
        return self.query

    def page(self) -> Page:
        """Return the page that was asked for; the query counts as finished from then on."""
        self.existing_query.observed = True
        return self.peek()

    def peek(self) -> Page:
        """Return the page that was asked for as if nobody had asked."""
        return self.existing_query.page(self.token, self.size)
