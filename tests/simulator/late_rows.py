"""Rows that the data lake receives late: the reason why the tap reads with a lookback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .faults import FaultType
from .request_context import PAGES

if TYPE_CHECKING:
    from datetime import datetime

    from .dataset import Dataset, Row
    from .queries import Query
    from .request_context import RequestContext
    from .responses import Response


@dataclass
class LateRows(FaultType):
    """Rows of one stream that appear after a complete export of the range they belong to.

    The first export of that range misses them, although it covers their `updatedOn`. The next
    submitted export finds them.
    """

    dataset: Dataset
    stream: str
    rows: list[Row]
    updated: datetime
    _is_missed: bool = field(default=False, init=False)

    def applies(self, context: RequestContext) -> bool:
        """Apply to the last page of an export that misses the rows, and to the next submit."""
        if context.stream != self.stream or not self.rows:
            return False
        if context.phase == "submit":
            return self._is_missed
        return (
            context.phase in PAGES
            and _covers(context.existing_query, self.updated)
            and context.preview_page().next_token is None
        )

    def respond(self, context: RequestContext) -> Response:
        """Add the rows before a submit; execute the request."""
        if context.phase == "submit":
            self.dataset[self.stream].extend(self.rows)
            self.rows = []
        else:
            self._is_missed = True
        return context.execute()


def _covers(query: Query, updated: datetime) -> bool:
    return query.window is not None and query.window[0] <= updated <= query.window[1]
