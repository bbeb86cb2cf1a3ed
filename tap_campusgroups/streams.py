"""The streams: each name is also the path of an endpoint and the name of a schema file.

The schema describes the stream in `x-description`: SDK 0.54 would take a top-level `description`
for the schema of a field of this name, and flattening would fail.
"""

from __future__ import annotations

import typing as t

from tap_campusgroups.config import ApiVersion

if t.TYPE_CHECKING:
    from collections.abc import Mapping

PATH_ALIASES: t.Final[Mapping[str, str]] = {
    "room_reservations": "/rooms_reservations",
    "badge_completions": "/badges_completions",
}
"""Other spellings of paths, found in a public client; tried after a 404."""

_NAMES: t.Final = (
    *("events", "rsvp", "event_registration_options", "payments", "checkins", "users"),
    *("academic_experiences", "work_experiences", "groups", "members", "tags", "budgets"),
    *("budget_transactions", "surveys", "survey_submissions", "rooms", "room_reservations"),
    *("badges", "badge_completions", "feed_posts", "tracks", "checklists", "checklist_items"),
)
_ADDED: t.Final = ("stores", "store_products", "announcements", "announcement_recipients")

STREAMS: t.Final[Mapping[ApiVersion, tuple[str, ...]]] = {
    ApiVersion.V1_0: _NAMES,
    ApiVersion.V1_1: _NAMES + _ADDED,
}
"""The streams of each version of the API, in the order of the vendor's documentation."""
