"""A plausible university for the demo: rows for all 23 streams, the same in every run.

The academic year 2024-25 with its terms and breaks. Students join groups, groups hold events, most
students who say yes to an event attend it, and a few attend without an answer.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from random import Random
from typing import TYPE_CHECKING, Any, Final

from examples.demo.campus_names import (
    EMPLOYERS,
    FIRST_NAMES,
    GROUPS,
    JOB_TITLES,
    LAST_NAMES,
    PROGRAMS,
)
from tests.simulator import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from examples.demo.campus_names import Activity, Group
    from tests.simulator import Row

FIRST_RUN: Final = datetime(2025, 4, 17, 6, tzinfo=UTC)
"""Simulated time of the first run, a Thursday."""

SECOND_RUN: Final = FIRST_RUN + timedelta(days=1)

LAG: Final = timedelta(days=1)
"""How far the vendor's data lake is behind."""

START: Final = date(2024, 8, 26)
"""First day of the academic year, a Monday."""

TERMS: Final = ((date(2024, 8, 26), date(2024, 12, 6)), (date(2025, 1, 13), date(2025, 5, 2)))
HOLIDAYS: Final = {
    "Thanksgiving": (date(2024, 11, 25), date(2024, 12, 1)),
    "final exams": (date(2024, 12, 7), date(2024, 12, 15)),
    "winter break": (date(2024, 12, 16), date(2025, 1, 12)),
    "spring break": (date(2025, 3, 10), date(2025, 3, 16)),
}
"""First and last day of each period without events."""

STUDENTS: Final = 800
FOUNDERS: Final = 12
"""Number of members that a group has from its first day."""

MIN_SHOW_UP_RATE, MAX_SHOW_UP_RATE = 0.5, 0.95

_UTC_OFFSET: Final = timedelta(hours=4)
_JOINING: Final = ((1, 30, 8), (1, 30, 8), (138, 165, 145), (20, 220, 60))
"""First, last and most frequent day of the year on which equal parts of the members join."""

_ROOMS: Final = tuple(sorted({act.location for group in GROUPS for act in group.activities}))


def holiday(monday: date) -> str:
    """Return the name of the holiday that covers most of a week, or ""."""
    middle = monday + timedelta(days=2)
    names = (name for name, (first, last) in HOLIDAYS.items() if first <= middle <= last)
    return next(names, "")


@dataclass
class NextDay:
    """What the data lake receives between the two runs.

    Attributes:
        new: Rows by stream that were created on that day.
        changed: New values by stream and id.
        late: Rows by stream that are older than the rows of the first run.
    """

    new: dict[str, list[Row]]
    changed: dict[str, dict[int, Row]]
    late: dict[str, list[Row]]

    def apply(self, dataset: Dataset) -> None:
        """Add and change the rows."""
        for arrived in (self.new, self.late):
            for stream, rows in arrived.items():
                dataset[stream].extend(rows)
        for stream, changes in self.changed.items():
            for row in dataset[stream]:
                row.update(changes.get(row["id"], {}))


def create_campus(scale: float = 1.0) -> tuple[Dataset, NextDay]:
    """Return the rows of the first run, and what arrives on the next day.

    Args:
        scale: Factor on the number of students and on the size of events.
    """
    newest = FIRST_RUN - LAG
    dataset = Dataset(0, newest=newest)
    rows = _Campus(dataset, Random(1887), scale).create()  # noqa: S311 - not for secrets
    new: dict[str, list[Row]] = {}
    for stream, created in rows.items():
        dataset[stream].extend(row for row in created if row["updatedOn"] <= _utc(newest))
        new[stream] = [row for row in created if row["updatedOn"] > _utc(newest)]
    # A scanner was offline at the last event before the first run.
    last_event = dataset["checkins"][-1]["eventId"]
    late = [row for row in dataset["checkins"] if row["eventId"] == last_event][:6]
    dataset["checkins"][:] = [row for row in dataset["checkins"] if row not in late]
    return dataset, NextDay(new, _changes(dataset, newest), {"checkins": late})


def _changes(dataset: Dataset, newest: datetime) -> dict[str, dict[int, Row]]:
    """Rename an upcoming event and refund a payment."""
    upcoming = next(row for row in dataset["events"] if row["startDate"] > "2025-04-20")
    payment = dataset["payments"][-1]
    updated = _utc(newest + timedelta(hours=14))
    return {
        "events": {upcoming["id"]: {"name": f"{upcoming['name']} (moved)", "updatedOn": updated}},
        "payments": {
            payment["id"]: {"status": _lookup(3, "Refunded", updated), "updatedOn": updated}
        },
    }


def _utc(timestamp: datetime) -> str:
    return f"{timestamp:%Y-%m-%dT%H:%M:%S}.000Z"


def _local(timestamp: datetime) -> str:
    """Return an event's own time, which the service sends without an offset."""
    return f"{timestamp:%Y-%m-%dT%H:%M:%S}"


def _lookup(number: int, name: str, updated: str = "2024-08-01T12:00:00.000Z") -> Row:
    return {"id": number, "name": name, "updatedOn": updated}


@dataclass
class _Campus:
    """Creates the rows of all streams until the second run."""

    dataset: Dataset
    random: Random
    scale: float
    rows: dict[str, list[Row]] = field(default_factory=dict)
    end: datetime = SECOND_RUN - LAG

    def create(self) -> dict[str, list[Row]]:
        self._add_people()
        self._add_rooms()
        members = self._add_groups()
        self._add_events(members)
        self._add_budgets()
        self._add_surveys_and_posts()
        self._add_badges_and_tracks()
        return {stream: self.rows[stream] for stream in self.dataset.streams}

    def add(self, stream: str, created: datetime, **values: Any) -> int:
        """Add a row and return its id; fields without a value are null."""
        rows = self.rows.setdefault(stream, [])
        fields = self.dataset.schema(stream)["properties"]
        row: Row = {name: None for name in fields if not name.startswith("_")}
        row |= {"id": len(rows) + 1, "updatedOn": _utc(created)}
        if "createdOn" in fields:
            row["createdOn"] = _utc(created)
        if "deleted" in fields:
            row["deleted"] = 0 if stream == "tags" else False
        rows.append(row | values)
        return len(rows)

    def day(self, offset: float) -> datetime:
        """Return a time `offset` days after the start of the academic year."""
        return datetime.combine(START, time(14), UTC) + timedelta(days=offset)

    def pick(self, count: int) -> Iterator[tuple[int, datetime]]:
        """Yield user ids with times within the year, in order of time."""
        last = (self.end - self.day(0)) / timedelta(days=1)
        for offset in sorted(self.random.uniform(0, last) for _ in range(count)):
            yield self.random.randint(1, len(self.rows["users"])), self.day(offset)

    def _add_people(self) -> None:
        mailboxes: defaultdict[str, int] = defaultdict(int)
        for number in range(1, max(60, round(STUDENTS * self.scale)) + 1):
            first, last = self.random.choice(FIRST_NAMES), self.random.choice(LAST_NAMES)
            mailbox = f"{first}.{last}".lower()
            mailboxes[mailbox] += 1
            suffix = mailboxes[mailbox] if mailboxes[mailbox] > 1 else ""
            program, degree = self.random.choice(PROGRAMS)
            entry = self.random.choice((2021, 2022, 2023, 2024))
            self.add(
                "users",
                self.day(self.random.uniform(-20, 30)),
                firstName=first,
                lastName=last,
                email=f"{mailbox}{suffix}@example.edu",
                netid=f"{first[0]}{last[0]}{1000 + number}".lower(),
                schoolProgram=program,
                degree=degree,
                accountType=_lookup(1, "Student") if number % 25 else _lookup(2, "Staff"),
                yearOfEntry=_lookup(entry - 2000, str(entry)),
                yearOfGraduation=_lookup(entry - 1996, str(entry + 4)),
                city="Riverton",
                state="NY",
                deactivated=False,
                isAdmin=number % 100 == 0,
                tags=[],
            )
        for user, created in self.pick(round(len(self.rows["users"]) / 3)):
            program, degree = self.random.choice(PROGRAMS)
            self.add(
                "academic_experiences",
                created,
                userId=user,
                university="Riverton University",
                studyField=program,
                degree=degree,
                startYear=2022,
                endYear=2026,
            )
        for user, created in self.pick(round(len(self.rows["users"]) / 4)):
            self.add(
                "work_experiences",
                created,
                userId=user,
                companyName=self.random.choice(EMPLOYERS),
                title=self.random.choice(JOB_TITLES),
                startYear=2024,
                location="Riverton, NY",
            )

    def _add_rooms(self) -> None:
        for number, name in enumerate(_ROOMS):
            self.add(
                "rooms",
                self.day(-60 + number),
                name=name,
                capacity=self.random.choice((30, 60, 120, 250)),
                active=True,
            )

    def _add_groups(self) -> list[dict[int, datetime]]:
        """Add groups, tags and members; return by group when its users joined."""
        categories = sorted({group.category for group in GROUPS})
        for place, category in enumerate(categories):
            self.add("tags", self.day(-50 + place), name=category, type="group", adminOnly=0)
        members = []
        for number, group in enumerate(GROUPS, 1):
            tag = categories.index(group.category) + 1
            created = self.day(number / 10)
            self.add(
                "groups",
                created,
                name=group.name,
                acronym=group.acronym,
                email=f"{group.acronym.lower()}@example.edu",
                type=_lookup(1, "Club"),
                status=_lookup(1, "Active"),
                published=True,
                deactivated=False,
                categoryTags=[_lookup(tag, group.category)],
            )
            members.append(self._add_members(number, group, created))
        return members

    def _add_members(self, number: int, group: Group, created: datetime) -> dict[int, datetime]:
        largest = max(activity.size for activity in group.activities)
        size = min(len(self.rows["users"]), round(largest * 1.6 * self.scale) + FOUNDERS)
        users = self.random.sample(range(1, len(self.rows["users"]) + 1), size)
        joined = {}
        for place, user in enumerate(users):
            day = self.day(self.random.triangular(*self.random.choice(_JOINING)))
            joined[user] = created if place < FOUNDERS else day
            self.add(
                "members",
                joined[user],
                userId=user,
                groupId=number,
                member=1,
                officerStatus="current_officer" if place < 3 else "not_officer",  # noqa: PLR2004
                officerRole=("President", "Treasurer", "Secretary")[place] if place < 3 else None,  # noqa: PLR2004
                validated=True,
            )
        return joined

    # Events and attendance

    def _add_events(self, members: Sequence[Mapping[int, datetime]]) -> None:
        for monday, number, activity in self._schedule():
            start = datetime.combine(monday, time(activity.hour)) + timedelta(days=activity.weekday)
            joined = members[number - 1].items()
            users = [user for user, day in joined if day <= start.replace(tzinfo=UTC)]
            self._add_event(number, activity, start, users)

    def _schedule(self) -> Iterator[tuple[date, int, Activity]]:
        """Yield Monday, group and activity of every event of the year, in order of time."""
        found = []
        for first, last in TERMS:
            weeks = range((last - first).days // 7 + 1)
            for number, group in enumerate(GROUPS, 1):
                for activity in group.activities:
                    for week in weeks:
                        monday = first + timedelta(weeks=week)
                        is_due = (week + number) % activity.every == 0
                        if is_due and not holiday(monday):
                            found.append((monday, number, activity))
        return iter(sorted(found, key=lambda event: (event[0], event[2].weekday, event[2].hour)))

    def _add_event(
        self, number: int, activity: Activity, start: datetime, members: Sequence[int]
    ) -> None:
        created = (start - timedelta(days=16)).replace(tzinfo=UTC)
        if created > self.end:
            return
        group = GROUPS[number - 1]
        end = start + timedelta(hours=2)
        event = self.add(
            "events",
            created,
            name=f"{group.name}: {activity.name}",
            groupId=number,
            type=_lookup(1 + number % 5, group.category),
            startDate=_local(start),
            endDate=_local(end),
            timeZone="America/New_York",
            locationType="On-Campus",
            locationName=activity.location,
            approvalStatus="Approved",
            registrationEnabled=True,
            capacity=activity.size * 2,
            draft=False,
            template=False,
            tags=[],
        )
        self.add(
            "event_registration_options",
            created,
            name="Ticket" if activity.price else "Free registration",
            eventId=event,
            groupId=number,
            price=float(activity.price),
        )
        if event % 4 == 0:
            self.add(
                "room_reservations",
                created,
                eventId=event,
                roomId=_ROOMS.index(activity.location) + 1,
                name=f"{group.name}: {activity.name}",
                startDate=_local(start),
                endDate=_local(end),
                status="booked",
            )
        going = self._add_answers(event, activity, start, members)
        if start.replace(tzinfo=UTC) + _UTC_OFFSET <= self.end:
            self._add_checkins(event, activity, start, going)
            self._add_expense(number, created, len(going))

    def _add_answers(
        self, event: int, activity: Activity, start: datetime, members: Sequence[int]
    ) -> list[int]:
        """Add RSVPs; return the users who say yes."""
        term = next(first for first, last in TERMS if start.date() <= last + timedelta(days=7))
        mood = 1.2 - 0.025 * ((start.date() - term).days // 7)  # interest fades during a term
        size = max(6, round(activity.size * self.scale * mood * self.random.uniform(0.85, 1.15)))
        users = self.random.sample(members, min(len(members), ceil(size * 1.25)))
        going = []
        for place, user in enumerate(users):
            answer = "yes" if place < size else "no" if place % 3 else "maybe"
            days = self.random.triangular(0.1, 15, 2)
            created = (start - timedelta(days=days)).replace(tzinfo=UTC, microsecond=0)
            if answer == "yes":
                going.append(user)
            if created <= self.end:
                answered = self.add(
                    "rsvp", created, eventId=event, memberId=user, rsvp=answer, waiverChecked=True
                )
                if activity.price and answer == "yes":
                    self._add_payment(created, answered, activity)
        return going

    def _add_payment(self, created: datetime, answered: int, activity: Activity) -> None:
        self.add(
            "payments",
            created,
            type="event",
            rsvpId=answered,
            amount=float(activity.price),
            quantity=1.0,
            fee=round(activity.price * 0.03, 2),
            itemTitle=activity.name,
            status=_lookup(1, "Paid"),
            paymentMethod=_lookup(1, "Credit card"),
        )

    def _add_checkins(
        self, event: int, activity: Activity, start: datetime, going: Sequence[int]
    ) -> None:
        """Check in most of those who said yes, and a few others."""
        turnout = activity.turnout * self.random.uniform(0.92, 1.08)
        most, least = MAX_SHOW_UP_RATE * len(going), MIN_SHOW_UP_RATE * len(going)
        count = min(int(most), max(ceil(least), round(turnout * len(going))))
        walk_ins = min(count // 12, self.random.randint(0, 3))
        others = self.random.sample(range(1, len(self.rows["users"]) + 1), walk_ins)
        came = [*self.random.sample(going, count - walk_ins), *others]
        for user in came:
            minutes = self.random.triangular(-10, 45, 2)
            scanned = start.replace(tzinfo=UTC) + _UTC_OFFSET + timedelta(minutes=minutes)
            self.add(
                "checkins",
                scanned.replace(microsecond=0),
                userId=str(self.rows["members"][event % len(self.rows["members"])]["userId"]),
                eventId=event,
                checkedinUserId=user,
                action="checkin",
                method=self.random.choice(("qrcode", "qrcode", "qrcode", "swipe", "manual")),
            )

    def _add_expense(self, number: int, created: datetime, guests: int) -> None:
        """Add what a group pays for an event; many small events cost nothing."""
        if guests < 25 and self.random.random() < 0.7:  # noqa: PLR2004
            return
        self.add(
            "budget_transactions",
            created,
            userId=self.random.randint(1, len(self.rows["users"])),
            budgetId=number,
            groupId=number,
            description=self.random.choice(("Catering", "Printing", "Equipment", "Travel")),
            amountFromAllocation=round(guests * self.random.uniform(1.5, 7.5), 2),
            amountFromGroupFunds=0.0,
            vendorName=self.random.choice(EMPLOYERS),
        )

    # Everything else

    def _add_budgets(self) -> None:
        for number, group in enumerate(GROUPS, 1):
            transactions = self.rows["budget_transactions"]
            spent = sum(
                row["amountFromAllocation"] for row in transactions if row["groupId"] == number
            )
            self.add(
                "budgets",
                self.day(number / 5),
                name=group.name,
                totalAllocation=50.0 * ceil(spent / self.random.uniform(0.6, 1.04) / 50),
                budgetStatus="Open",
                budgetType="Simple",
                startDate="2024-08-26",
                endDate="2025-05-31",
                budgetAdmins=[number],
            )

    def _add_surveys_and_posts(self) -> None:
        questions = ("How satisfied are you with the event?", "What should we do next term?")
        for place, name in enumerate(("Event Feedback", "Club Interest", "Dining Survey")):
            self.add(
                "surveys",
                self.day(10 + 30 * place),
                name=name,
                authorId=1 + place,
                closed=False,
                loginRequired=True,
                anonymousSubmissions=0,
                archived=False,
                groupId=len(GROUPS),
            )
        for user, created in self.pick(220):
            self.add(
                "survey_submissions",
                created,
                status="Approved",
                userId=user,
                surveyId=self.random.randint(1, 3),
                submittedOn=_utc(created),
                archived=False,
                draft=False,
                responses=[
                    {
                        "questionId": "1",
                        "question": self.random.choice(questions),
                        "questionType": "Scale",
                        "answers": [str(self.random.randint(3, 5))],
                        "proposedAnswers": ["1", "2", "3", "4", "5"],
                    }
                ],
            )
        for user, created in self.pick(180):
            number = self.random.randint(1, len(GROUPS))
            group = GROUPS[number - 1]
            self.add(
                "feed_posts",
                created,
                type="club",
                typeId=number,
                groupId=number,
                userId=user,
                content=f"Join us for {group.activities[0].name}, {group.activities[0].location}.",
                postType="post",
                feedPostPrivacy="group",
                channel="web",
                comments=[],
            )

    def _add_badges_and_tracks(self) -> None:
        badges = ("First Event", "Five Events", "Volunteer", "Officer Training")
        for place, name in enumerate(badges):
            self.add("badges", self.day(place), name=name, private=False, groupBadge=False)
        for user, created in self.pick(160):
            badge = self.random.randint(1, len(badges))
            self.add("badge_completions", created, badgeId=badge, userId=user, count=1)
        for place, name in enumerate(("First-Year Experience", "Leadership Track")):
            track = self.add(
                "tracks",
                self.day(place),
                name=name,
                isVisible=True,
                archived=False,
                groupId=len(GROUPS),
            )
            checklist = self.add(
                "checklists",
                self.day(1 + place),
                name=f"{name} checklist",
                trackId=track,
                isVisible=True,
                archived=False,
                groupId=len(GROUPS),
            )
            for step, title in enumerate(("Attend an event", "Join a group", "Meet an advisor")):
                self.add(
                    "checklist_items",
                    self.day(2 + place + step),
                    title=title,
                    checklistId=checklist,
                    optional=False,
                )
