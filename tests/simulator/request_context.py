"""A request between its arrival and its response: what the service and the fault types share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from .queries import MAX_PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from .queries import Page, Query
    from .responses import CompleteResponse

Phase: TypeAlias = Literal["submit", "poll", "first_page", "later_page"]
PHASES: frozenset[Phase] = frozenset(get_args(Phase))
PAGES: frozenset[Phase] = frozenset({"first_page", "later_page"})
RecordedPhase: TypeAlias = Phase | Literal["refused"]


@dataclass
class RequestContext:
    """A request that has no response yet.

    Attributes:
        planned_status: Status that the service is about to respond with.
        query: Query of a GET; of a POST, set by `execute()`.
        window: Window that a POST asks for.
        parameters: Decoded parameters of the request.
    """

    stream: str | None
    phase: RecordedPhase
    planned_status: int
    _respond: Callable[[RequestContext], CompleteResponse]
    query: Query | None = None
    token: str | None = None
    size: int = MAX_PAGE_SIZE
    window: tuple[datetime, datetime] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    def execute(self) -> CompleteResponse:
        """Execute the request at the service and return the regular response."""
        return self._respond(self)

    @property
    def existing_query(self) -> Query:
        """The query of a GET."""
        if self.query is None:
            message = f"a request in phase {self.phase} has no query yet"
            raise LookupError(message)
        return self.query

    def page(self) -> Page:
        """Return the requested page and count the query as finished."""
        self.existing_query.is_finished = True
        return self.existing_query.page(self.token, self.size)
