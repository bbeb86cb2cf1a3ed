"""The demo's university is plausible, and the same in every run."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from examples.demo import campus
from examples.demo.display import relevant_part
from tests.support import attendance, groups

if TYPE_CHECKING:
    from examples.demo.campus import NextDay
    from tests.simulator import Dataset, Row

LOOKBACK = timedelta(hours=48)


@pytest.fixture(scope="module")
def first_day() -> tuple[Dataset, NextDay]:
    """Return the rows of the first run, and what arrives later."""
    return campus.create_campus()


@pytest.fixture(scope="module")
def second_day() -> Dataset:
    """Return the rows of the second run."""
    dataset, next_day = campus.create_campus()
    next_day.apply(dataset)
    return dataset


def rows_by_stream(dataset: Dataset) -> dict[str, list[Row]]:
    """Return the rows of all streams."""
    return {stream: dataset[stream] for stream in dataset.streams}


def figures(dataset: Dataset) -> attendance.Figures:
    """Return the attendance by event."""
    return attendance.by_event(rows_by_stream(dataset))


def test_every_stream_has_rows_that_are_valid(second_day: Dataset) -> None:
    for stream in second_day.streams:
        validator = Draft202012Validator(second_day.schema(stream))
        assert second_day[stream], stream
        for row in second_day[stream]:
            validator.validate(row)
    assert len({len(second_day[stream]) for stream in second_day.streams}) > 15


def test_rows_are_the_same_in_every_run(first_day: tuple[Dataset, NextDay]) -> None:
    dataset, next_day = campus.create_campus()
    assert next_day == first_day[1]
    assert all(dataset[stream] == first_day[0][stream] for stream in dataset.streams)


def test_show_up_rates_are_plausible(second_day: Dataset) -> None:
    rates = [float(row[-1]) for row in figures(second_day).values() if row[-1] is not None]
    assert len(rates) > 300
    assert min(rates) >= campus.MIN_SHOW_UP_RATE
    assert max(rates) <= campus.MAX_SHOW_UP_RATE


def test_most_attendees_said_yes(second_day: Dataset) -> None:
    going = {
        (row["eventId"], row["memberId"]) for row in second_day["rsvp"] if row["rsvp"] == "yes"
    }
    came = {(row["eventId"], row["checkedinUserId"]) for row in second_day["checkins"]}
    assert 0.9 < len(came & going) / len(came) < 1


def test_answers_come_from_members_at_the_time_of_the_event(second_day: Dataset) -> None:
    joined = {(row["groupId"], row["userId"]): row["createdOn"] for row in second_day["members"]}
    events = {row["id"]: row for row in second_day["events"]}
    for row in second_day["rsvp"]:
        event = events[row["eventId"]]
        assert joined[event["groupId"], row["memberId"]][:19] <= event["startDate"]


def test_groups_have_active_members_in_every_week_of_the_terms(second_day: Dataset) -> None:
    membership = groups.membership_by_week(rows_by_stream(second_day))
    active = {week: 0 for week, *_ in membership}
    for week, *_, count in membership:
        active[week] += count
    assert all(bool(count) != bool(campus.holiday(week)) for week, count in active.items())
    shares = [row[-1] / row[2] for row in membership if row[-1]]
    assert 0.1 < sum(shares) / len(shares) < 0.9


def test_budgets_are_spent_to_a_plausible_part(second_day: Dataset) -> None:
    budgets = groups.spending_by_budget(rows_by_stream(second_day))
    assert len(budgets) == len(second_day["groups"])
    for planned, spent, *_, per_attendee in budgets.values():
        assert 0.5 < spent / planned < 1.1
        assert 0.5 < per_attendee < 15


def test_weeks_without_events_are_holidays(second_day: Dataset) -> None:
    weeks = attendance.by_week(figures(second_day))
    monday, end = campus.START, campus.SECOND_RUN.date() - timedelta(days=7)
    while monday < end:
        assert (monday in weeks) != bool(campus.holiday(monday)), monday
        monday += timedelta(weeks=1)
    assert campus.holiday(date(2025, 3, 10)) == "spring break"


def test_email_addresses_match_names(second_day: Dataset) -> None:
    users = second_day["users"]
    assert len({user["email"] for user in users}) == len(users)
    for user in users:
        name = re.escape(f"{user['firstName']}.{user['lastName']}".lower())
        assert re.fullmatch(rf"{name}\d*@example\.edu", user["email"])


def test_late_rows_are_older_than_the_first_run_and_within_the_lookback(
    first_day: tuple[Dataset, NextDay],
) -> None:
    dataset, next_day = first_day
    loaded = {row["id"] for row in dataset["checkins"]}
    earliest = f"{campus.FIRST_RUN - LOOKBACK:%Y-%m-%dT%H:%M:%S}"
    latest = f"{campus.FIRST_RUN:%Y-%m-%dT%H:%M:%S}"
    assert next_day.late["checkins"]
    for row in next_day.late["checkins"]:
        assert row["id"] not in loaded
        assert earliest < row["updatedOn"] < latest


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("[info     ] tap-campusgroups Stream completed: stream=events records=5 elapsed=1s",
         ("Stream completed: stream=events records=5 elapsed=1s", False)),
        ("[info     ] tap-campusgroups Stream completed: stream=tags records=5 elapsed=1s",
         ("", False)),
        ("[warning  ] tap-campusgroups Retrying request: stream=tags reason=x attempt=2/8",
         ("Retrying request: stream=tags reason=x attempt=2/8", True)),
        ("[info     ] tap-campusgroups Export running: stream=events elapsed=0s", ("", False)),
        ("[info     ] target-postgres Inserting with SQL: INSERT INTO x", ("", False)),
    ],
)  # fmt: skip
def test_log_of_the_demo_shows_the_relevant_lines_of_the_tap(
    line: str, shown: tuple[str, bool]
) -> None:
    assert relevant_part(f"2025-04-17T06:00:00.123456Z {line}") == shown
