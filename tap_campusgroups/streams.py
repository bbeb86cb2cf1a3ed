"""The streams, each a path of the same name and a schema file."""

from __future__ import annotations

import typing as t

from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.config import ApiVersion

if t.TYPE_CHECKING:
    from collections.abc import Mapping


class Events(CampusGroupsStream):
    """Events with their place, registration settings, tags and custom fields."""

    name = "events"


class Rsvp(CampusGroupsStream):
    """Answers to event invitations."""

    name = "rsvp"


class EventRegistrationOptions(CampusGroupsStream):
    """Tickets and other options of an event's registration."""

    name = "event_registration_options"


class Payments(CampusGroupsStream):
    """Payments and refunds, with their amounts and status."""

    name = "payments"


class Checkins(CampusGroupsStream):
    """Check-ins and check-outs at events: who was there."""

    name = "checkins"


class Users(CampusGroupsStream):
    """Accounts of students, staff and alumni. Personal data."""

    name = "users"


class AcademicExperiences(CampusGroupsStream):
    """Studies that users list in their profile. Personal data."""

    name = "academic_experiences"


class WorkExperiences(CampusGroupsStream):
    """Jobs that users list in their profile. Personal data."""

    name = "work_experiences"


class Groups(CampusGroupsStream):
    """Clubs, departments and other groups."""

    name = "groups"


class Members(CampusGroupsStream):
    """Memberships and officer roles: which user is in which group."""

    name = "members"


class Tags(CampusGroupsStream):
    """Tags that other records carry."""

    name = "tags"


class Budgets(CampusGroupsStream):
    """Budgets and what is allocated to them."""

    name = "budgets"


class BudgetTransactions(CampusGroupsStream):
    """Expenses and revenues of a budget."""

    name = "budget_transactions"


class Surveys(CampusGroupsStream):
    """Surveys, forms and quizzes."""

    name = "surveys"


class SurveySubmissions(CampusGroupsStream):
    """Answers to a survey, question by question. Personal data."""

    name = "survey_submissions"


class Rooms(CampusGroupsStream):
    """Rooms that can be reserved."""

    name = "rooms"


class RoomReservations(CampusGroupsStream):
    """Reservations of rooms."""

    name = "room_reservations"
    path_alias = "/rooms_reservations"


class Badges(CampusGroupsStream):
    """Badges that users and groups can win."""

    name = "badges"


class BadgeCompletions(CampusGroupsStream):
    """Badges won."""

    name = "badge_completions"
    path_alias = "/badges_completions"


class FeedPosts(CampusGroupsStream):
    """Posts of the feed, with their comments. Personal data."""

    name = "feed_posts"


class Tracks(CampusGroupsStream):
    """Tracks: series of checklists."""

    name = "tracks"


class Checklists(CampusGroupsStream):
    """Checklists of a track or group."""

    name = "checklists"


class ChecklistItems(CampusGroupsStream):
    """Items of a checklist, with the rule that completes them."""

    name = "checklist_items"


class Stores(CampusGroupsStream):
    """Stores of groups."""

    name = "stores"


class StoreProducts(CampusGroupsStream):
    """Products that stores sell."""

    name = "store_products"


class Announcements(CampusGroupsStream):
    """Announcements that were sent."""

    name = "announcements"


class AnnouncementRecipients(CampusGroupsStream):
    """Who received which announcement."""

    name = "announcement_recipients"


_OF_THE_DOCUMENT: t.Final[tuple[type[CampusGroupsStream], ...]] = (
    Events,
    Rsvp,
    EventRegistrationOptions,
    Payments,
    Checkins,
    Users,
    AcademicExperiences,
    WorkExperiences,
    Groups,
    Members,
    Tags,
    Budgets,
    BudgetTransactions,
    Surveys,
    SurveySubmissions,
    Rooms,
    RoomReservations,
    Badges,
    BadgeCompletions,
    FeedPosts,
    Tracks,
    Checklists,
    ChecklistItems,
)

STREAMS: t.Final[Mapping[ApiVersion, tuple[type[CampusGroupsStream], ...]]] = {
    ApiVersion.V1_0: _OF_THE_DOCUMENT,
    ApiVersion.V1_1: (
        *_OF_THE_DOCUMENT,
        Stores,
        StoreProducts,
        Announcements,
        AnnouncementRecipients,
    ),
}
"""The streams of each version of the API, in the order of the document and the specification."""
