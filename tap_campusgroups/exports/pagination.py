"""The life of one export as pure steps: submit, poll, follow `NextToken`.

Nothing here does I/O, waits or logs. `replies.classify` says what an answer means; an
`ExportPaginator` turns each answer into the next step.
"""

from __future__ import annotations

import sys
import typing as t
from dataclasses import dataclass

from singer_sdk.pagination import BaseAPIPaginator

from tap_campusgroups.exports.response import WAITING, ResponseKind, describe, read

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from datetime import datetime

    import requests

    from tap_campusgroups.exports.response import ParsedResponse


@dataclass(frozen=True, slots=True)
class Submit:
    """Ask for an export: `POST` (document, "Request events").

    Attributes:
        start: First instant of `updatedOn`, inclusive, aware.
        end: Last instant of `updatedOn`, inclusive, aware.
    """

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask for a page of an export, or whether there is one: `GET` (document, "Retrieve events").

    Attributes:
        query_id: The export's `queryId`.
        token: Token of the page; `None` for the first one.
        polls: How often this page was asked for in vain. It makes each poll a step of its own: the
            SDK takes two equal steps for a loop.
    """

    query_id: str
    token: str | None = None
    polls: int = 0


Step: t.TypeAlias = Submit | Fetch

MAX_EMPTY_PAGES: t.Final = 100
"""Pages without rows in a row, each with a token, after which an export has no end."""

MAX_REPEATED_PAGES: t.Final = 10
"""Pages that an export has sent before under another token, after which it has no end."""

_SAMPLE_BYTES: t.Final = 4096


class ExportEnded(Exception):  # noqa: N818 - an outcome; the stream makes an error of it
    """The export is over before its last page.

    Attributes:
        reply: Why.
    """

    def __init__(self, reply: ResponseKind, response: requests.Response) -> None:
        """Keep why the export ended.

        Args:
            reply: Why.
            response: The answer that ended it.
        """
        super().__init__(f"{reply.value} ({describe(response)})")
        self.reply = reply


class ExportPaginator(BaseAPIPaginator[Step]):
    """Walks one export from its `POST` to its last page.

    `current_value` is the step to take; `advance` takes the answer. It never waits: whoever drives
    it looks at the answer's `ResponseKind` and waits on `WAITING`.
    """

    def __init__(self, start: datetime, end: datetime) -> None:
        """Begin before the `POST`.

        Args:
            start: First instant of `updatedOn`, inclusive, aware.
            end: Last instant of `updatedOn`, inclusive, aware.
        """
        super().__init__(Submit(start, end))
        self._tokens: set[str] = set()
        self._pages: set[int] = set()
        self._empty_pages = self._repeated_pages = 0

    @property
    def is_submitting(self) -> bool:
        """Whether the current step is the `POST`."""
        return isinstance(self.current_value, Submit)

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """Go on after a page without rows: it may still carry a token.

        Args:
            response: The answer to the current step.

        Returns:
            Always true.
        """
        return True

    @override
    def get_next(self, response: requests.Response) -> Step | None:
        """Name the step that follows an answer.

        Args:
            response: The answer to the current step.

        Returns:
            The next step, or `None` after the last page.

        Raises:
            ExportEnded: If the answer is not one that an export goes on from, or if its pages would
                never end: a token comes twice, or new tokens lead to pages that are empty or have
                come before.
        """
        reading, step = read(response), self.current_value
        if reading.reply is ResponseKind.ACCEPTED and reading.query_id:
            return Fetch(reading.query_id)
        if isinstance(step, Submit):
            raise ExportEnded(reading.reply, response)
        if reading.reply in WAITING:
            return Fetch(step.query_id, step.token, step.polls + 1)
        if reading.reply is not ResponseKind.PAGE:
            raise ExportEnded(reading.reply, response)
        if reading.token is None:
            return None
        if reading.token in self._tokens:
            raise ExportEnded(ResponseKind.LOOPED, response)
        self._tokens.add(reading.token)
        if self._is_endless(reading):
            raise ExportEnded(ResponseKind.ENDLESS, response)
        return Fetch(step.query_id, reading.token)

    def _is_endless(self, reading: ParsedResponse) -> bool:
        """Count a page; return whether there were too many that bring nothing new."""
        self._empty_pages = 0 if reading.has_rows else self._empty_pages + 1
        if reading.has_rows and reading.results is not None:
            # A sample is enough: rows have ids, and pages of one length rarely agree in their ends.
            text = memoryview(reading.results)
            page = hash((len(text), bytes(text[:_SAMPLE_BYTES]), bytes(text[-_SAMPLE_BYTES:])))
            self._repeated_pages += page in self._pages
            self._pages.add(page)
        return self._empty_pages >= MAX_EMPTY_PAGES or self._repeated_pages >= MAX_REPEATED_PAGES
