"""The steps of one export: submit, poll, follow `NextToken`.

Nothing here sends requests, waits or logs. An `ExportPaginator` turns each response into the next
step; `response.classify` decides what a response means.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_campusgroups.exports.response import WAITING, ResponseKind
from tap_campusgroups.records.json_codec import longest_row

if t.TYPE_CHECKING:
    from tap_campusgroups.exports.response import ParsedResponse
    from tap_campusgroups.exports.window import Window


@dataclass(frozen=True, slots=True)
class Submit:
    """The `POST` that requests an export (document, "Request events")."""

    window: Window


@dataclass(frozen=True, slots=True)
class Fetch:
    """The `GET` of a page, also used to poll (document, "Retrieve events").

    The number of earlier polls makes each a new step: the SDK takes two equal steps for a loop.
    """

    query_id: str
    token: str | None = None
    polls: int = 0


Step: t.TypeAlias = Submit | Fetch

MAX_EMPTY_PAGES: t.Final = 100  # in a row, each with a token: the export is endless
MAX_REPEATED_ROWS: t.Final = 10  # pages with one and the same row: the export is endless
_FIRST_MARKER: t.Final = 8  # page


class ExportEnded(Exception):  # noqa: N818 - an outcome; the runner turns it into an error
    """The export ended before its last page; `kind` tells why."""

    def __init__(self, response: ParsedResponse, kind: ResponseKind | None = None) -> None:
        self.kind = kind or response.kind
        super().__init__(str(replace(response, kind=self.kind)))


class ExportPaginator(BaseAPIPaginator[Step]):
    """Walks one export from its `POST` to its last page; the caller waits between polls.

    Unlike other paginators of the SDK, it gets parsed responses: a large page is parsed once.
    """

    def __init__(self, window: Window) -> None:
        super().__init__(Submit(window))
        self._tokens: set[str] = set()
        self._pages = self._empty_pages = self._repeated_rows = 0
        self._marker = b""  # a row of an earlier page

    @override
    def get_next(self, response: ParsedResponse) -> Step | None:  # type: ignore[override]
        """Return the step after a response; `None` after the last page.

        Raises:
            ExportEnded: If the export cannot continue, or if its pages would never end: a token is
                repeated, or new tokens lead to pages that are empty or have the same rows.
        """
        step = self.current_value
        if response.kind is ResponseKind.ACCEPTED and response.query_id:
            return Fetch(response.query_id)
        if isinstance(step, Submit):
            raise ExportEnded(response)
        if response.kind in WAITING:
            return Fetch(step.query_id, step.token, step.polls + 1)
        if response.kind is not ResponseKind.PAGE:
            raise ExportEnded(response)
        if response.token is None:
            return None
        if response.token in self._tokens:
            raise ExportEnded(response, ResponseKind.TOKEN_REPEATED)
        self._tokens.add(response.token)
        if self._is_endless(response):
            raise ExportEnded(response, ResponseKind.ENDLESS)
        return Fetch(step.query_id, response.token)

    def _is_endless(self, page: ParsedResponse) -> bool:
        """Return whether pages are empty, or one row comes again and again, in any order of rows.

        The row that is looked for is replaced at pages 8, 16, 32 and so on, so it is found however
        many pages come before they start to repeat. To find it takes time: not in short exports.
        """
        if not page.has_rows or page.results is None:
            self._empty_pages += 1
            return self._empty_pages >= MAX_EMPTY_PAGES
        self._empty_pages = 0
        self._pages += 1
        self._repeated_rows += bool(self._marker) and self._marker in bytes(page.results)
        if self._repeated_rows >= MAX_REPEATED_ROWS:
            return True
        if self._pages >= _FIRST_MARKER and self._pages.bit_count() == 1:
            self._marker, self._repeated_rows = longest_row(page.results), 0
        return False
