"""The streams. The name of each is also its path in the API and the name of its schema file."""

from __future__ import annotations

import typing as t

from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.config import ApiVersion

if t.TYPE_CHECKING:
    from collections.abc import Mapping


class Events(CampusGroupsStream):
    """Events with their location, registration settings, tags and custom fields."""

    name = "events"


class Rsvp(CampusGroupsStream):
    """RSVPs: answers to event invitations."""

    name = "rsvp"


class EventRegistrationOptions(CampusGroupsStream):
    """Ticket types and other registration options of events."""

    name = "event_registration_options"


class Payments(CampusGroupsStream):
    """Payments and refunds with their amounts and status."""

    name = "payments"


class Checkins(CampusGroupsStream):
    """Check-ins and check-outs at events: who attended."""

    name = "checkins"


class Users(CampusGroupsStream):
    """Accounts of students, staff and alumni. Personal data."""

    name = "users"


class AcademicExperiences(CampusGroupsStream):
    """Education entries of user profiles. Personal data."""

    name = "academic_experiences"


class WorkExperiences(CampusGroupsStream):
    """Work experience entries of user profiles. Personal data."""

    name = "work_experiences"


class Groups(CampusGroupsStream):
    """Clubs, departments and other groups."""

    name = "groups"


class Members(CampusGroupsStream):
    """Group memberships and officer roles of users."""

    name = "members"


class Tags(CampusGroupsStream):
    """Tags that other records refer to."""

    name = "tags"


class Budgets(CampusGroupsStream):
    """Budgets and their allocations."""

    name = "budgets"


class BudgetTransactions(CampusGroupsStream):
    """Expenses and revenues of budgets."""

    name = "budget_transactions"


class Surveys(CampusGroupsStream):
    """Surveys, forms and quizzes."""

    name = "surveys"


class SurveySubmissions(CampusGroupsStream):
    """Submissions of surveys with the answer to each question. Personal data."""

    name = "survey_submissions"


class Rooms(CampusGroupsStream):
    """Rooms that can be reserved."""

    name = "rooms"


class RoomReservations(CampusGroupsStream):
    """Reservations of rooms."""

    name = "room_reservations"
    path_alias = "/rooms_reservations"


class Badges(CampusGroupsStream):
    """Badges that users and groups can earn."""

    name = "badges"


class BadgeCompletions(CampusGroupsStream):
    """Badges that were earned."""

    name = "badge_completions"
    path_alias = "/badges_completions"


class FeedPosts(CampusGroupsStream):
    """Posts in the feed with their comments. Personal data."""

    name = "feed_posts"


class Tracks(CampusGroupsStream):
    """Tracks: series of checklists."""

    name = "tracks"


class Checklists(CampusGroupsStream):
    """Checklists of tracks and groups."""

    name = "checklists"


class ChecklistItems(CampusGroupsStream):
    """Items of checklists with their completion rules."""

    name = "checklist_items"


class Stores(CampusGroupsStream):
    """Stores of groups."""

    name = "stores"


class StoreProducts(CampusGroupsStream):
    """Products sold in stores."""

    name = "store_products"


class Announcements(CampusGroupsStream):
    """Announcements that were sent."""

    name = "announcements"


class AnnouncementRecipients(CampusGroupsStream):
    """Recipients of announcements."""

    name = "announcement_recipients"


_STREAMS_1_0: t.Final = (
    Events, Rsvp, EventRegistrationOptions, Payments, Checkins, Users, AcademicExperiences,
    WorkExperiences, Groups, Members, Tags, Budgets, BudgetTransactions, Surveys,
    SurveySubmissions, Rooms, RoomReservations, Badges, BadgeCompletions, FeedPosts, Tracks,
    Checklists, ChecklistItems,
)  # fmt: skip
STREAMS: t.Final[Mapping[ApiVersion, tuple[type[CampusGroupsStream], ...]]] = {
    ApiVersion.V1_0: _STREAMS_1_0,
    ApiVersion.V1_1: (*_STREAMS_1_0, Stores, StoreProducts, Announcements, AnnouncementRecipients),
}
"""The streams of each version of the API, in the order of the vendor's documentation."""
