"""Names of the demo's university: people, groups and their events."""

from __future__ import annotations

from typing import Final, NamedTuple


class Activity(NamedTuple):
    """An event that a group repeats.

    Attributes:
        weekday: Day of the week, from 0 (Monday).
        every: Interval in weeks.
        size: Number of people who usually say yes.
        turnout: Usual share of them who come.
        price: Price of a ticket in dollars; 0 if it is free.
    """

    name: str
    weekday: int
    hour: int
    every: int
    size: int
    turnout: float
    location: str
    price: int = 0


class Group(NamedTuple):
    """A group of students."""

    name: str
    acronym: str
    category: str
    activities: tuple[Activity, ...]


GROUPS: Final = (
    Group(
        "Robotics Club",
        "RC",
        "Academic",
        (
            Activity("Weekly Build Night", 2, 18, 1, 21, 0.84, "Engineering Lab 2"),
            Activity("Competition Scrimmage", 5, 10, 5, 32, 0.88, "Engineering Atrium"),
        ),
    ),
    Group(
        "Debate Society",
        "DS",
        "Academic",
        (
            Activity("Practice Round", 1, 19, 1, 14, 0.74, "Lincoln Hall 104"),
            Activity("Open Debate", 3, 19, 4, 36, 0.66, "Lincoln Hall Auditorium"),
        ),
    ),
    Group(
        "Chess Club",
        "CC",
        "Recreation",
        (
            Activity("Casual Night", 3, 18, 1, 11, 0.81, "Student Center 210"),
            Activity("Rapid Tournament", 5, 13, 6, 26, 0.87, "Student Center Ballroom", 5),
        ),
    ),
    Group(
        "Film Society",
        "FS",
        "Arts",
        (Activity("Friday Screening", 4, 20, 1, 38, 0.68, "Harris Theater"),),
    ),
    Group(
        "Outdoor Adventure Club",
        "OAC",
        "Recreation",
        (
            Activity("Saturday Hike", 5, 9, 2, 19, 0.79, "North Gate"),
            Activity("Kayak Trip", 6, 8, 6, 13, 0.9, "Boathouse", 15),
        ),
    ),
    Group(
        "Jazz Ensemble",
        "JE",
        "Arts",
        (
            Activity("Rehearsal", 0, 19, 1, 14, 0.9, "Music Building 12"),
            Activity("Evening Concert", 4, 19, 7, 68, 0.72, "Harris Theater", 8),
        ),
    ),
    Group(
        "Women in Computing",
        "WIC",
        "Academic",
        (
            Activity("Code and Coffee", 2, 16, 1, 18, 0.71, "Computer Science Lounge"),
            Activity("Industry Panel", 3, 18, 5, 48, 0.64, "Engineering Auditorium"),
        ),
    ),
    Group(
        "Habitat Volunteers",
        "HV",
        "Service",
        (Activity("Build Day", 5, 8, 2, 18, 0.85, "Student Center Entrance"),),
    ),
    Group(
        "International Club",
        "IC",
        "Cultural",
        (
            Activity("Language Table", 2, 12, 1, 14, 0.69, "Dining Commons"),
            Activity("Cultural Night", 5, 18, 8, 96, 0.74, "Student Center Ballroom", 6),
        ),
    ),
    Group(
        "Swing Dance Club",
        "SDC",
        "Recreation",
        (
            Activity("Beginner Lesson", 1, 20, 1, 22, 0.65, "Recreation Center Studio B"),
            Activity("Social Dance", 5, 20, 7, 51, 0.71, "Student Center Ballroom", 4),
        ),
    ),
    Group(
        "Environmental Action",
        "EA",
        "Service",
        (
            Activity("Campus Garden Hour", 4, 15, 1, 10, 0.76, "Community Garden"),
            Activity("River Cleanup", 5, 9, 5, 30, 0.69, "Riverside Park"),
        ),
    ),
    Group(
        "Pre-Med Society",
        "PMS",
        "Career",
        (
            Activity("Study Session", 2, 19, 1, 24, 0.73, "Science Library 2"),
            Activity("Physician Q&A", 3, 18, 4, 53, 0.67, "Science Center Auditorium"),
        ),
    ),
    Group(
        "Student Theatre",
        "ST",
        "Arts",
        (
            Activity("Improv Workshop", 0, 18, 2, 16, 0.77, "Black Box Theater"),
            Activity("Stage Performance", 5, 19, 6, 76, 0.78, "Black Box Theater", 10),
        ),
    ),
    Group(
        "Running Club",
        "RUN",
        "Recreation",
        (
            Activity("Morning Run", 1, 7, 1, 12, 0.66, "Recreation Center Entrance"),
            Activity("Campus 5K", 6, 9, 8, 88, 0.82, "Main Quad", 12),
        ),
    ),
    Group(
        "Student Government",
        "SG",
        "Community",
        (
            Activity("Senate Meeting", 2, 20, 1, 19, 0.88, "Student Center 301"),
            Activity("Town Hall", 0, 18, 7, 60, 0.57, "Lincoln Hall Auditorium"),
        ),
    ),
)

FIRST_NAMES: Final = (
    "Aaliyah", "Aaron", "Abigail", "Adrian", "Alex", "Amara", "Amir", "Andre", "Angela", "Anika",
    "Benjamin", "Brianna", "Caleb", "Camila", "Carlos", "Chloe", "Christina", "Daniel", "David",
    "Deepa", "Diego", "Elena", "Elijah", "Emily", "Emma", "Ethan", "Fatima", "Gabriel", "Grace",
    "Hannah", "Hassan", "Isabella", "Jackson", "Jamal", "Jasmine", "Jessica", "Jordan", "Joshua",
    "Julia", "Kayla", "Kevin", "Leah", "Liam", "Lucas", "Madison", "Malik", "Maria", "Marcus",
    "Maya", "Mei", "Michael", "Naomi", "Natalie", "Nathan", "Nia", "Noah", "Olivia", "Omar",
    "Priya", "Rachel", "Rohan", "Ryan", "Samantha", "Samuel", "Sofia", "Thomas", "Tiana", "Victor",
    "William", "Yusuf", "Zoe",
)  # fmt: skip

LAST_NAMES: Final = (
    "Adams", "Ahmed", "Allen", "Bailey", "Baker", "Bennett", "Brooks", "Brown", "Campbell",
    "Carter", "Chen", "Clark", "Cohen", "Collins", "Cooper", "Cruz", "Davis", "Diaz", "Edwards",
    "Evans", "Fisher", "Foster", "Garcia", "Gonzalez", "Gupta", "Hall", "Harris", "Hernandez",
    "Hughes", "Jackson", "Johnson", "Khan", "Kim", "Kumar", "Lee", "Lewis", "Lopez", "Martin",
    "Martinez", "Miller", "Mitchell", "Morgan", "Murphy", "Nguyen", "Okafor", "Ortiz", "Park",
    "Patel", "Perez", "Phillips", "Ramirez", "Reed", "Rivera", "Roberts", "Robinson", "Scott",
    "Shah", "Singh", "Smith", "Stewart", "Taylor", "Thompson", "Torres", "Turner", "Walker",
    "Washington", "White", "Williams", "Wilson", "Wright", "Young",
)  # fmt: skip

PROGRAMS: Final = (
    ("Biology", "BS"), ("Business Administration", "BA"), ("Chemistry", "BS"),
    ("Computer Science", "BS"), ("Economics", "BA"), ("English", "BA"), ("History", "BA"),
    ("Mechanical Engineering", "BS"), ("Music", "BA"), ("Nursing", "BS"), ("Psychology", "BA"),
    ("Data Science", "MS"), ("Public Health", "MPH"),
)  # fmt: skip

EMPLOYERS: Final = (
    "Lakeside Hospital", "Northwind Robotics", "City Public Library", "Bluebird Software",
    "Harbor Community Center", "Summit Accounting", "Greenway Energy", "Campus Bookstore",
)  # fmt: skip

JOB_TITLES: Final = (
    "Teaching Assistant", "Software Intern", "Lab Assistant", "Barista", "Marketing Intern",
    "Research Assistant", "Tutor", "Lifeguard",
)  # fmt: skip
