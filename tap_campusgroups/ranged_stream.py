"""A stream that is read by ranges of `updatedOn`: where a run starts, how the bookmark moves."""

from __future__ import annotations

import typing as t

from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from singer_sdk.streams import Stream
from typing_extensions import override

from tap_campusgroups import full_reads, state
from tap_campusgroups.config import EARLIEST
from tap_campusgroups.exceptions import StreamError
from tap_campusgroups.exports.service_monitor import MAX_CLOCK_DIFFERENCE
from tap_campusgroups.exports.window import Window
from tap_campusgroups.records.values import format_timestamp, parse_timestamp

if t.TYPE_CHECKING:
    from datetime import datetime

    from singer_sdk.helpers.types import Context

    from tap_campusgroups.tap import TapCampusGroups

PRIMARY_KEY: t.Final = "id"
REPLICATION_KEY: t.Final = "updatedOn"
"""The field that the API's date range applies to (document, "Date Ranges and Pagination")."""

FIRST_START_KEY: t.Final = "start_date"  # in a stream's state: the setting on its first run


class RangedStream(Stream):
    """Applies the rule of `state` to one stream: its range, and its entry in the state."""

    replication_key = REPLICATION_KEY

    def __init__(self, tap: TapCampusGroups, name: str) -> None:
        super().__init__(tap, name=name)
        self._context = tap  # the SDK's `_tap` has no settings

    @property
    def _state_entry(self) -> dict[str, t.Any]:
        # Not `stream_state`, which adds an entry.
        return self.tap_state.get("bookmarks", {}).get(self.name, {})

    @property
    def _bookmark(self) -> str | None:
        """The bookmark in canonical form; full-table syncs ignore it."""
        return self._state_entry.get("replication_key_value") if self.is_incremental else None

    @property
    def is_incremental(self) -> bool:
        """Whether the stream has a bookmark, and not a full read."""
        return self.replication_method == REPLICATION_INCREMENTAL

    @property
    def _first_start(self) -> datetime:
        """The setting `start_date` of the stream's first run."""
        return parse_timestamp(self._state_entry.get(FIRST_START_KEY)) or EARLIEST

    @property
    def start_date_moved_back(self) -> bool:
        """Whether `start_date` is earlier than on the stream's first run."""
        return bool(self._bookmark) and self._context.settings.start_date < self._first_start

    @property
    def is_removed(self) -> bool:
        """Whether stream maps drop the stream, so that nothing of it is exported."""
        return not full_reads.aliases_of(self.stream_maps)

    def window(self) -> Window:
        """Return the whole range of this run, up to `end_date` or the start of the run.

        `start_date` is for runs without a bookmark: a later one must not leave out rows. A full
        read also covers rows that are updated during it, which would count as deleted.
        """
        settings, newest = self._context.settings, self._context.started
        if not self.is_incremental:
            newest += full_reads.MARGIN
        bookmark = parse_timestamp(self._bookmark)
        start_date = self._first_start if bookmark else settings.start_date
        start = state.range_start(bookmark, start_date=start_date, lookback=settings.lookback)
        return Window.between(start, min(newest, settings.end_date or newest))

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        return None  # the window has the upper bound

    def _check_bookmark(self, started: datetime) -> None:
        """Refuse a bookmark that is later than the clocks allow: rows may have been skipped."""
        bookmark = parse_timestamp(self._bookmark)
        if bookmark and bookmark > started + MAX_CLOCK_DIFFERENCE:
            msg = (
                f"Stream '{self.name}': the bookmark in the state ({self._bookmark}) is later than "
                f"the start of this run ({format_timestamp(started)}), so rows may have been "
                "skipped. Check the clock of this machine; then set the bookmark to a time at "
                "which the clock was right, or remove it to read everything again."
            )
            raise StreamError(msg)

    def _move_bookmark(self, window: Window, *, newest: str, started: datetime) -> None:
        """Move the bookmark after a window whose rows were all emitted.

        `newest` is the newest `updatedOn` of the run's records. `started` is the start of the run
        by the service's clock, which it may know better than before.
        """
        self._check_bookmark(started)
        start_date = self._context.settings.start_date
        if self._bookmark is None and start_date != EARLIEST:
            self.stream_state[FIRST_START_KEY] = format_timestamp(start_date)
        bookmark = state.next_bookmark(
            self._bookmark,
            newest=newest,
            end=format_timestamp(min(window.end, started)),
            watermark=format_timestamp(started - self._context.settings.lookback),
        )
        self.stream_state.update(replication_key=REPLICATION_KEY, replication_key_value=bookmark)
