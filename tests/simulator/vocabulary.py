"""Words for generated rows. All are invented; every address ends in .example.

The choices are the enumerations of specification 1.1; where it has none, they are invented.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_NAMES = ("Avery", "Zoë", "Noor", "José", "Mika", "Ren", "Łucja", "Søren", "Priya", "Kofi")
LAST_NAMES = ("Kim", "Okafor", "García", "Müller", "Tanaka", "Novák", "O'Neil", "Haddad", "Silva")
MAILBOXES = ("avery.kim", "zoe.okafor", "noor.haddad", "jose.garcia", "mika.tanaka", "ren.silva")
MAIL_DOMAINS = ("students.example", "alumni.example", "campus.example")
CITIES = ("Springfield", "Montréal", "Zürich", "Kraków", "Riverside", "São Paulo", "京都")
STATES = ("CA", "NY", "QC", "ZH", "TX")
STREETS = ("Elm Street", "Rue de l'Église", "College Avenue", "Harbor Road", "Hauptstraße")
WORDS = (
    "autumn", "board", "café", "debate", "évènement", "film", "garden", "hackathon", "jazz",
    "kayak", "library", "mentor", "naïve", "orchestra", "piñata", "quiz", "robotics", "soirée",
    "theatre", "volunteers", "workshop", "yoga", "学生", "über", "🎓",
)  # fmt: skip

_YES_NO_PRIVACY = ("Everyone", "Logged on users only", "Group members only", "No one")

# Keys are "<stream>.<field>", looked up first, or "<field>".
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "events.privacyLevel": (
            "Everyone", "-School Name- users only", "Group members only", "Officers only",
            "Invited people only", "Tagged members only", "Members with Badges only",
        ),
        "events.whoCanSeeAttendeeList": ("Nobody", "Logged-on users only", "Everyone"),
        "events.whoCanSeeEventOnCalendar": _YES_NO_PRIVACY,
        "events.whoCanSeeLocation": ("Everyone", "Users who are registered"),
        "events.locationType": ("Off-Campus", "On-Campus", "Online Only"),
        "events.approvalStatus": ("Approved", "Pending Approval", "Approval in Draft", "Rejected"),
        "events.timeZone": ("America/New_York", "America/Los_Angeles", "Europe/Zurich", "UTC"),
        "rsvp.rsvp": ("yes", "no", "maybe", "waitlist"),
        "rsvp.feedbackRating": ("1", "2", "3", "4", "5"),
        "checkins.action": ("checkin", "checkout"),
        "checkins.method": ("qrcode", "swipe", "manual"),
        "payments.type": ("club", "event", "meeting", "store", "user", "survey"),
        "members.officerStatus": ("current_officer", "former_officer", "not_officer"),
        "members.customPositionType": ("officer", "member"),
        "members.officerRole": ("President", "Treasurer", "Secretary"),
        "groups.paymentGateway": ("cashnet", "stripe", "touchnet"),
        "tags.type": ("user", "group", "event", "survey"),
        "budgets.budgetStatus": ("Draft", "Open", "Closed"),
        "budgets.budgetType": ("Simple", "Advanced"),
        "surveys.blockResubmitStatus": ("none", "approved", "all"),
        "surveys.whoCanSubmit": _YES_NO_PRIVACY,
        "survey_submissions.status": ("Approved", "Pending", "Rejected"),
        "survey_submissions.contentType": ("event", "group"),
        "room_reservations.status": ("pending", "booked", "cancelled"),
        "announcements.type": ("event", "group"),
        "feed_posts.type": ("feed", "club", "event"),
        "feed_posts.postType": ("post", "photo", "video", "link", "doc"),
        "feed_posts.feedPostPrivacy": ("public", "private", "group"),
        "feed_posts.channel": ("web", "mobile"),
        "color": ("#1f77b4", "#ff7f0e", "#2ca02c"),
        "iconName": ("star", "flag", "book"),
        "degree": ("BSc", "BA", "MSc", "MBA", "PhD"),
        "duration": ("Lifetime", "1 Semester", "1 Year", "6 Months", "Ends at Graduation"),
        "questionType": ("Multi-choice", "Free text", "Scale"),
        "ruleType": ("attendance", "survey", "membership"),
        "conditionType": ("any", "all"),
        "city": CITIES,
        "state": STATES,
        "firstName": FIRST_NAMES,
        "lastName": LAST_NAMES,
        "maidenName": LAST_NAMES,
        "middleInitial": ("A", "B", "Ç", "D"),
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
