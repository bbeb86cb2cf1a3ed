"""The streams: one line per endpoint, because they differ in their names only.

The name of a stream is also the path of its endpoint and the name of its schema file.
"""

from __future__ import annotations

import typing as t

from tap_campusgroups.config import ApiVersion

if t.TYPE_CHECKING:
    from collections.abc import Mapping


class StreamDefinition(t.NamedTuple):
    """One endpoint of the API."""

    name: str
    description: str
    path_alias: str | None = None
    """Another spelling of the path, found in a public client; tried after a 404."""

    @property
    def path(self) -> str:
        """The path of the endpoint under the base URL."""
        return f"/{self.name}"


_PERSONAL: t.Final = "Personal data."

_STREAMS_1_0: t.Final = (
    StreamDefinition("events", "Events with their location, registration settings and tags."),
    StreamDefinition("rsvp", "RSVPs: answers to event invitations."),
    StreamDefinition("event_registration_options", "Ticket types and other options of events."),
    StreamDefinition("payments", "Payments and refunds with their amounts and status."),
    StreamDefinition("checkins", "Check-ins and check-outs at events: who attended."),
    StreamDefinition("users", f"Accounts of students, staff and alumni. {_PERSONAL}"),
    StreamDefinition("academic_experiences", f"Education in user profiles. {_PERSONAL}"),
    StreamDefinition("work_experiences", f"Work experience in user profiles. {_PERSONAL}"),
    StreamDefinition("groups", "Clubs, departments and other groups."),
    StreamDefinition("members", "Group memberships and officer roles of users."),
    StreamDefinition("tags", "Tags that other records refer to."),
    StreamDefinition("budgets", "Budgets and their allocations."),
    StreamDefinition("budget_transactions", "Expenses and revenues of budgets."),
    StreamDefinition("surveys", "Surveys, forms and quizzes."),
    StreamDefinition("survey_submissions", f"Answers to surveys, per question. {_PERSONAL}"),
    StreamDefinition("rooms", "Rooms that can be reserved."),
    StreamDefinition("room_reservations", "Reservations of rooms.", "/rooms_reservations"),
    StreamDefinition("badges", "Badges that users and groups can earn."),
    StreamDefinition("badge_completions", "Badges that were earned.", "/badges_completions"),
    StreamDefinition("feed_posts", f"Posts in the feed with their comments. {_PERSONAL}"),
    StreamDefinition("tracks", "Tracks: series of checklists."),
    StreamDefinition("checklists", "Checklists of tracks and groups."),
    StreamDefinition("checklist_items", "Items of checklists with their completion rules."),
)

STREAMS: t.Final[Mapping[ApiVersion, tuple[StreamDefinition, ...]]] = {
    ApiVersion.V1_0: _STREAMS_1_0,
    ApiVersion.V1_1: (
        *_STREAMS_1_0,
        StreamDefinition("stores", "Stores of groups."),
        StreamDefinition("store_products", "Products sold in stores."),
        StreamDefinition("announcements", "Announcements that were sent."),
        StreamDefinition("announcement_recipients", "Recipients of announcements."),
    ),
}
"""The streams of each version of the API, in the order of the vendor's documentation."""
