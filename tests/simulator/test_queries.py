"""Queries of the simulated service: states, pages, tokens, windows, order."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.simulator import Dataset, Simulator, Status
from tests.simulator.timestamps import UNUSUAL_FORMATS, parse_timestamp, to_milliseconds
from tests.support.api_client import NEWEST, ApiClient, ids
from tests.support.harness import MAX_RETRY_DELAY as TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable


def test_query_is_queued_then_running_then_ready_by_the_clock(dataset: Dataset) -> None:
    clock = [100.0]
    with Simulator(
        dataset, clock=lambda: clock[0], queued_seconds=2, running_seconds={"events": 3}
    ) as simulator:
        client = ApiClient(simulator)
        query_id, other = client.submit("events"), client.submit("users")
        answers = []
        for clock[0] in (100.0, 101.9, 102.0, 104.9, 105.0, 900.0):
            response = client.get("events", query_id)
            answers.append((response.status_code, response.json().get("message")))
        clock[0] = 102.0
        assert client.get("users", other).status_code == 200
    queued = (201, "Query is queued and waiting to be executed")
    running = (202, "Accepted query and is running")
    assert answers == [queued, queued, running, running, (200, None), (200, None)]


def test_query_with_poll_counts_ignores_the_clock(dataset: Dataset) -> None:
    with Simulator(dataset, queued_polls=2, running_polls=1) as simulator:
        client = ApiClient(simulator)
        query_id = client.submit("events")
        seen = [client.get("events", query_id).status_code for _ in range(5)]
    assert seen == [201, 201, 202, 200, 200]
    assert [request.phase for request in simulator.requests] == [
        "submit", "poll", "poll", "poll", "first_page", "first_page",
    ]  # fmt: skip


def test_page_delay_applies_to_pages_only(dataset: Dataset) -> None:
    beyond_the_timeout = {"events": 12 * TIMEOUT}
    with Simulator(dataset, running_polls=1, page_seconds=beyond_the_timeout) as simulator:
        client = ApiClient(simulator)
        query_id = client.submit("events")
        assert client.get("events", query_id).status_code == 202
        simulator.inject(Status(503).on("events", "first_page"))
        assert client.get("events", query_id).status_code == 503
        users = client.submit("users")
        seen = [client.get("users", users).status_code for _ in range(2)]
        assert seen == [202, 200], "another stream's page"
        simulator.timing.page_seconds = 0.01
        started = time.monotonic()
        assert [len(page["Results"]) for page in client.pages("events", query_id, 15)] == [15, 5]
        assert time.monotonic() - started >= 0.02


@pytest.mark.parametrize("size", [1, 7, 999])
def test_pages_hold_every_row_once_in_random_order(
    client: ApiClient, dataset: Dataset, size: int
) -> None:
    rows = client.rows("events", size)
    assert sorted(ids(rows)) == list(range(1, 21))
    assert ids(rows) != sorted(ids(rows))
    dates = [row["updatedOn"] for row in rows]
    assert dates != sorted(dates)
    assert {row["id"]: row for row in rows} == {row["id"]: row for row in dataset["events"]}


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (999, [999]), (1000, [999, 1])])
def test_default_page_has_999_rows_and_last_page_no_token(count: int, sizes: list[int]) -> None:
    with Simulator(Dataset({"tags": count}, newest=NEWEST)) as simulator:
        client = ApiClient(simulator)
        pages = list(client.pages("tags", client.submit("tags")))
    assert [len(page["Results"]) for page in pages] == sizes
    assert "NextToken" not in pages[-1]


def test_order_of_rows_is_fixed_per_query(client: ApiClient) -> None:
    first, second = client.submit("events"), client.submit("events")
    orders = [
        ids(client.get("events", query).json()["Results"]) for query in (first, first, second)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_token_is_valid_only_when_encoded_and_for_its_query(client: ApiClient) -> None:
    query_id, other = client.submit("events"), client.submit("events")
    first = client.get("events", query_id, size=7).json()
    client.get("events", other, size=7)
    token = first["NextToken"]
    assert {"+", "/", "=", "&", "%"} <= set(token)
    assert " " not in token
    bare = client.session.get(f"{client.url}/events?queryId={query_id}&size=7&token={token}")
    assert bare.status_code == 400
    encoded = quote(token, safe="")
    url = f"{client.url}/events?queryId={query_id}&size=7&token={encoded}"
    second = client.session.get(url, timeout=TIMEOUT).json()
    assert second == client.get("events", query_id, size=7, token=token).json(), "a retry"
    assert second["NextToken"] != token
    assert not set(ids(first["Results"])) & set(ids(second["Results"]))
    assert client.get("events", other, size=7, token=token).status_code == 400
    assert client.get("events", query_id, token="made-up").status_code == 400  # noqa: S106
    empty = client.get("events", query_id, size=7, token="")
    assert empty.json() == first, "an empty token asks for the first page"


def test_both_bounds_are_inclusive_to_the_millisecond(client: ApiClient, dataset: Dataset) -> None:
    newest = "2026-01-31T12:34:56.789Z"
    assert dataset["events"][0]["updatedOn"] == newest
    assert ids(client.rows("events", updatedStart=newest, updatedEnd=newest)) == [1]
    late = client.rows("events", updatedStart="2026-01-31T12:34:56.790Z", updatedEnd="2030-01-01")
    assert late == []
    early = client.rows("events", updatedStart="2020-01-01", updatedEnd="2026-01-31T12:34:56.788Z")
    assert sorted(ids(early)) == list(range(2, 21))


def test_windows_that_share_a_bound_both_hold_its_row(client: ApiClient, dataset: Dataset) -> None:
    middle = sorted(str(parse_timestamp(row["updatedOn"])) for row in dataset["events"])[9]
    middle = datetime.fromisoformat(middle).isoformat()
    before = client.rows("events", updatedStart="2020-01-01", updatedEnd=middle)
    after = client.rows("events", updatedStart=middle, updatedEnd="2030-01-01")
    assert len(before) + len(after) == 21
    assert set(ids(before)) | set(ids(after)) == set(range(1, 21))


@pytest.mark.parametrize("value", [None, "", "yesterday", 5, "9999-99-99"])
def test_row_without_usable_timestamp_is_in_no_window(
    client: ApiClient, dataset: Dataset, value: object
) -> None:
    dataset["events"][3]["updatedOn"] = value
    del dataset["events"][4]["updatedOn"]
    rows = client.rows("events", updatedStart="1999-01-01", updatedEnd="2999-01-02")
    assert sorted(ids(rows)) == [1, 2, 3, *range(6, 21)]


@pytest.mark.parametrize("form", UNUSUAL_FORMATS)
def test_timestamp_in_unusual_format_is_compared_by_value(
    client: ApiClient, dataset: Dataset, form: Callable[[int], str]
) -> None:
    timestamp = datetime(2021, 5, 6, 2, 0, 0, tzinfo=UTC)
    dataset["events"][0]["updatedOn"] = form(to_milliseconds(timestamp))
    bound = "2021-05-06T02:00:00Z"
    assert ids(client.rows("events", updatedStart=bound, updatedEnd=bound)) == [1]


def test_query_is_a_snapshot_and_the_next_one_sees_changes(
    client: ApiClient, dataset: Dataset
) -> None:
    query_id = client.submit("users")
    users = dataset["users"]
    users[0]["firstName"] = "Changed"
    users[1] = {"id": 77, "updatedOn": "2025-06-01T00:00:00Z", "lone": "\ud83d"}
    users.append({"id": 78, "updatedOn": "2025-06-01"})
    users.remove(users[2])
    before = [row for page in client.pages("users", query_id) for row in page["Results"]]
    assert sorted(ids(before)) == list(range(1, 21))
    assert "Changed" not in [row["firstName"] for row in before]
    after = {row["id"]: row for row in client.rows("users")}
    assert set(after) == {1, *range(4, 21), 77, 78}
    assert after[1]["firstName"] == "Changed"
    assert after[77] == {"id": 77, "updatedOn": "2025-06-01T00:00:00Z", "lone": "\ud83d"}


def test_submit_at_the_limit_of_active_queries_is_429(dataset: Dataset) -> None:
    with Simulator(dataset, queued_polls=1, max_active=2) as simulator:
        client = ApiClient(simulator)
        first = client.submit("events")
        client.submit("users")
        refused = client.post("groups")
        assert (refused.status_code, refused.json()) == (429, {"message": "Too many requests"})
        assert client.get("events", first).status_code == 201
        assert client.post("groups").status_code == 429
        assert client.get("events", first).status_code == 200
        assert simulator.active == 1
        client.submit("groups")
        assert simulator.peak_active == 2
        assert [request.status for request in simulator.requests].count(429) == 2
        simulator.reset_log()
        assert simulator.requests == []


def test_order_of_rows_does_not_depend_on_other_queries() -> None:
    with Simulator(Dataset(20, newest=NEWEST)) as one, Simulator(Dataset(20, newest=NEWEST)) as two:
        other = ApiClient(two)
        other.submit("users")
        assert ApiClient(one).rows("events") == other.rows("events")
