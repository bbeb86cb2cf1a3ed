"""Generated rows are valid, plausible and reproducible."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from tests.simulator import Dataset, Simulator
from tests.simulator.dataset import load_schemas
from tests.simulator.timestamps import format_timestamp, parse_timestamp, to_milliseconds
from tests.simulator.vocabulary import FOREIGN_KEYS
from tests.support.api_client import NEWEST, STREAMS, ApiClient, ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SPAN = timedelta(days=400)


def test_frozen_dataset_serves_the_same_rows() -> None:
    frozen = Dataset(20, newest=NEWEST)
    frozen["users"][0]["firstName"] = "Changed"
    frozen.freeze()
    assert frozen.preload() == 20 * len(STREAMS)
    with Simulator(frozen) as simulator:
        users, events = ApiClient(simulator).rows("users"), ApiClient(simulator).rows("events")
    assert next(row for row in users if row["id"] == 1)["firstName"] == "Changed"
    assert sorted(events, key=lambda row: int(row["id"])) == Dataset(20, newest=NEWEST)["events"]
    with pytest.raises(RuntimeError):
        frozen["users"]


DOCUMENTED = {
    "academic_experiences", "badge_completions", "badges", "budget_transactions", "budgets",
    "checkins", "checklist_items", "checklists", "event_registration_options", "events",
    "feed_posts", "groups", "members", "payments", "room_reservations", "rooms", "rsvp",
    "survey_submissions", "surveys", "tags", "tracks", "users", "work_experiences",
}  # fmt: skip
"""Streams of the vendor's document, independent of the tap's schemas."""


def test_dataset_has_every_documented_stream() -> None:
    assert set(Dataset(0, newest=NEWEST).streams) == DOCUMENTED


@pytest.fixture(scope="module")
def many() -> Dataset:
    """Return 150 rows per stream, not to be changed."""
    return Dataset(150, seed=3, newest=NEWEST)


def leaves(value: object, name: str = "", owner: str = "") -> Iterator[tuple[str, str, object]]:
    """Yield (field, field of the object it is in, value) of every value below a row."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from leaves(inner, key, name)
        case list():
            yield name, owner, value
            for inner in value:
                yield from leaves(inner, name, owner)
        case _:
            yield name, owner, value


@pytest.mark.parametrize("stream", STREAMS)
def test_rows_are_valid_and_have_every_field(many: Dataset, stream: str) -> None:
    schema = many.schema(stream)
    validator = Draft202012Validator(schema)
    fields = {name for name in schema["properties"] if not name.startswith("_")}
    rows = many[stream]
    assert ids(rows) == list(range(1, 151))
    for row in rows:
        validator.validate(row)
        assert set(row) == fields
    flat = [leaf for row in rows for leaf in leaves(row)]
    assert any(value is None for *_, value in flat)
    for number in range(1, 21):
        full = many.full_row(stream, number)
        validator.validate(full)
        assert all(value not in (None, "", []) for *_, value in leaves(full))
        assert (full["id"], parse_timestamp(full["updatedOn"])) == (
            number, parse_timestamp(rows[number - 1]["updatedOn"]),
        )  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS)
def test_timestamps_are_within_the_span_and_in_order(many: Dataset, stream: str) -> None:
    rows = many[stream]
    timestamps = [parse_timestamp(row["updatedOn"]) for row in rows]
    assert all(
        timestamp is not None and NEWEST - SPAN <= timestamp <= NEWEST for timestamp in timestamps
    )
    assert timestamps.count(NEWEST) == 1
    for row in rows:
        for early, late in (
            ("createdOn", "updatedOn"),
            ("startDate", "endDate"),
            ("openDate", "closeDate"),
            ("registrationOpenDate", "registrationCloseDate"),
            ("startSalesDate", "endSalesDate"),
        ):
            first, last = parse_timestamp(row.get(early)), parse_timestamp(row.get(late))
            assert first is None or last is None or first <= last, (early, row)


def test_foreign_keys_point_to_existing_rows() -> None:
    counts = {stream: 3 + place for place, stream in enumerate(STREAMS)}
    dataset = Dataset(counts, newest=NEWEST)
    seen = set()
    for stream in STREAMS:
        for row in dataset[stream]:
            for name, _, value in leaves(row):
                if name in FOREIGN_KEYS and not isinstance(value, list) and value is not None:
                    seen.add(name)
                    assert 1 <= int(str(value)) <= counts[FOREIGN_KEYS[name]], (stream, name)
    assert {"eventId", "userId", "groupId", "memberId", "rsvpId", "cartItemId", "parentId"} <= seen
    user_ids = [row["userId"] for row in dataset["checkins"] if row["userId"] is not None]
    assert all(isinstance(value, str) and value.isdigit() for value in user_ids)


def test_values_include_unusual_but_valid_ones(many: Dataset) -> None:
    flat = [leaf for stream in STREAMS for row in many[stream] for leaf in leaves(row)]
    mails = [value for name, _, value in flat if name.lower().endswith("email") and value]
    assert mails
    assert all(re.fullmatch(r"[a-z.]+\d+@[a-z]+\.example", str(mail)) for mail in mails if mail)
    prices = [value for name, _, value in flat if name in {"price", "amount", "fee"}]
    assert all(value is None or round(value, 2) == value for value in prices)  # type: ignore[call-overload]
    assert any(not str(value).isascii() for *_, value in flat)
    stamps = [str(value) for name, _, value in flat if name in {"updatedOn", "createdOn"} and value]
    unusual = [stamp for stamp in stamps if not re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", stamp)]
    assert 0.03 < len(unusual) / len(stamps) < 0.07
    assert all(parse_timestamp(stamp) is not None for stamp in unusual)
    for mark in (r"\+00:00$", r"-05:00$", r"^.{10} ", r"T.{8}Z$"):
        assert any(re.search(mark, stamp) for stamp in unusual), mark
    assert "" in [value for *_, value in flat]
    assert [] in [value for *_, value in flat]


def test_row_depends_on_seed_stream_and_number_only(many: Dataset) -> None:
    again = Dataset(150, seed=3, newest=NEWEST)
    assert again.row("users", 77) == many["users"][76]
    assert again["users"] == many["users"]
    assert Dataset(150, seed=4, newest=NEWEST)["users"] != many["users"]
    with pytest.raises(ValueError, match="numbered"):
        again.row("users", 0)


def test_row_counts_by_stream_are_validated() -> None:
    dataset = Dataset({"events": 2}, newest=NEWEST)
    assert (len(dataset["events"]), dataset["users"]) == (2, [])
    with pytest.raises(ValueError, match="no such stream: event"):
        Dataset({"event": 2}, newest=NEWEST)
    with pytest.raises(ValueError, match="aware"):
        Dataset(newest=NEWEST.replace(tzinfo=None))


def test_schemas_of_another_folder_replace_those_of_the_tap(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    (tmp_path / "stores.json").write_text(json.dumps(schema), encoding="utf-8")
    dataset = Dataset(1, newest=NEWEST, schemas=load_schemas(tmp_path))
    assert dataset.streams == ("stores",)
    assert dataset.full_row("stores", 1)["id"] == 1


def test_newest_row_keeps_its_microseconds() -> None:
    newest = NEWEST.replace(microsecond=123_456)
    row = Dataset(3, newest=newest)["events"][0]
    assert row["updatedOn"] == "2026-01-31T12:34:56.123456Z"
    assert format_timestamp(to_milliseconds(NEWEST)) == "2026-01-31T12:34:56.789Z"
