"""The streams: each name is also the path of an endpoint and the name of a schema file.

The schema describes the stream in `x-description`: SDK 0.54 would take a top-level `description`
for the schema of a field of this name, and flattening would fail.
"""

from __future__ import annotations

import typing as t

from tap_campusgroups.config import ApiVersion

if t.TYPE_CHECKING:
    from collections.abc import Mapping

_PATH_ALIASES: t.Final = {
    "room_reservations": "/rooms_reservations",
    "badge_completions": "/badges_completions",
}


class StreamDefinition(t.NamedTuple):
    """One endpoint of the API."""

    name: str

    @property
    def path(self) -> str:
        """The path of the endpoint under the base URL."""
        return f"/{self.name}"

    @property
    def path_alias(self) -> str | None:
        """Another spelling of the path, found in a public client; tried after a 404."""
        return _PATH_ALIASES.get(self.name)


_NAMES: t.Final = (
    *("events", "rsvp", "event_registration_options", "payments", "checkins", "users"),
    *("academic_experiences", "work_experiences", "groups", "members", "tags", "budgets"),
    *("budget_transactions", "surveys", "survey_submissions", "rooms", "room_reservations"),
    *("badges", "badge_completions", "feed_posts", "tracks", "checklists", "checklist_items"),
)
_ADDED: t.Final = ("stores", "store_products", "announcements", "announcement_recipients")

STREAMS: t.Final[Mapping[ApiVersion, tuple[StreamDefinition, ...]]] = {
    ApiVersion.V1_0: tuple(map(StreamDefinition, _NAMES)),
    ApiVersion.V1_1: tuple(map(StreamDefinition, _NAMES + _ADDED)),
}
"""The streams of each version of the API, in the order of the vendor's documentation."""
