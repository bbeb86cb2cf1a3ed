"""Words for generated rows. All are invented; every address ends in .example.

The choices are the enumerations of specification 1.1; where it has none, they are invented.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAILBOXES = ("avery.kim", "zoe.okafor", "noor.haddad", "jose.garcia", "mika.tanaka", "ren.silva")
WORDS = (
    "autumn", "board", "café", "debate", "évènement", "film", "garden", "hackathon", "jazz",
    "kayak", "library", "mentor", "naïve", "orchestra", "piñata", "quiz", "robotics", "soirée",
    "theatre", "volunteers", "workshop", "yoga", "学生", "über", "🎓",
)  # fmt: skip

# Keys are "<stream>.<field>", looked up first, or "<field>".
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "events.privacyLevel": (
            "Everyone", "-School Name- users only", "Group members only", "Officers only",
            "Invited people only", "Tagged members only", "Members with Badges only",
        ),
        "events.timeZone": ("America/New_York", "America/Los_Angeles", "Europe/Zurich", "UTC"),
        "rsvp.rsvp": ("yes", "no", "maybe", "waitlist"),
        "rsvp.feedbackRating": ("1", "2", "3", "4", "5"),
        "checkins.action": ("checkin", "checkout"),
        "payments.type": ("club", "event", "meeting", "store", "user", "survey"),
        "members.officerStatus": ("current_officer", "former_officer", "not_officer"),
        "budgets.budgetStatus": ("Draft", "Open", "Closed"),
        "room_reservations.status": ("pending", "booked", "cancelled"),
        "city": ("Springfield", "Montréal", "Zürich", "Kraków", "Riverside", "São Paulo", "京都"),
        "firstName": ("Avery", "Zoë", "Noor", "José", "Mika", "Łucja", "Søren", "Priya", "Kofi"),
        "lastName": ("Kim", "Okafor", "García", "Müller", "Tanaka", "Novák", "O'Neil", "Silva"),
        "answer": ("Yes", "No", "Peut-être", "42"),
    }
)  # fmt: skip

# Stream that a foreign key points to, by the name of the field.
FOREIGN_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "eventId": "events",
        "userId": "users",
        "checkedinUserId": "users",
        "authorId": "users",
        "approvedBy": "users",
        "recipientId": "users",
        "senderId": "users",
        "budgetAdmins": "users",
        "groupId": "groups",
        "parentGroupId": "groups",
        "memberId": "members",
        "surveyId": "surveys",
        "budgetRequestFormId": "surveys",
        "paymentRequestApprovalFormId": "surveys",
        "reflectionSurveyId": "surveys",
        "roomId": "rooms",
        "budgetId": "budgets",
        "badgeId": "badges",
        "trackId": "tracks",
        "checklistId": "checklists",
        "parentChecklistItemId": "checklist_items",
        "rsvpId": "rsvp",
        "paymentId": "payments",
        "refId": "payments",
        "cartItemId": "event_registration_options",
        "parentId": "tags",
        "contentTypeId": "events",
        "storeId": "stores",
        "announcementId": "announcements",
    }
)

# Text fields that hold a comma-separated list of foreign keys.
FOREIGN_KEY_LISTS: Mapping[str, str] = MappingProxyType(
    {"cohostingGroupIds": "groups", "parentEventIds": "events"}
)

# Fields with nested rows of the stream tags; every other nested id is that of a lookup value.
TAG_FIELDS = frozenset(
    {
        "tags", "adminTags", "categoryTags", "mandatoryMembersTags", "personalInterests",
        "sportsInterests",
    }
)  # fmt: skip

# Integers that the service uses as booleans.
FLAGS = frozenset(
    {"member", "adminOnly", "deleted", "sendReminder", "loginRequired", "anonymousSubmissions"}
)
