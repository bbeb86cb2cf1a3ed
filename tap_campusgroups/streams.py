"""The 23 streams of the document, each a path of the same name and a schema file."""

from __future__ import annotations

from tap_campusgroups.base import CampusGroupsStream


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
    other_path = "/rooms_reservations"


class Badges(CampusGroupsStream):
    """Badges that users and groups can win."""

    name = "badges"


class BadgeCompletions(CampusGroupsStream):
    """Badges won."""

    name = "badge_completions"
    other_path = "/badges_completions"


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


STREAMS: tuple[type[CampusGroupsStream], ...] = (
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
"""Every stream, in the document's order."""
