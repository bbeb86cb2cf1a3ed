"""The simulator answers as design section 1 and the specification say, and fails as injected.

What the tap's tests show is not repeated: most fault types, held requests, connections, proxies.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from jsonschema import Draft202012Validator

from tests.simulator import Dataset, Simulator
from tests.simulator.dataset import tap_schemas
from tests.simulator.vocabulary import FOREIGN_KEYS
from tests.support.harness import NEWEST
from tests.support.harness import WAIT_LIMIT as TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator


EVERYTHING = {"updatedStart": "2020-01-01", "updatedEnd": "2030-01-01T00:00:00Z"}


class Client(requests.Session):
    """A client of one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self.trust_env = False
        self.url = simulator.url
        self.headers.update(simulator.headers())

    def call(self, method: str, stream: str, **params: Any) -> requests.Response:
        """Send a request."""
        return self.request(method, f"{self.url}/{stream}", params=params, timeout=TIMEOUT)

    def submit(self, stream: str, **window: str) -> requests.Response:
        """Submit a query, by default for everything."""
        return self.call("POST", stream, **(window or EVERYTHING))

    def pages(self, stream: str, size: int = 999, **window: str) -> list[list[dict[str, Any]]]:
        """Return the rows of a window by page."""
        parameters = {**self.submit(stream, **window).json(), "size": size}
        found = []
        while True:
            page = self.call("GET", stream, **parameters).json()
            found.append(page["Results"])
            if "NextToken" not in page:
                return found
            parameters["token"] = page["NextToken"]


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    """Return a client of the simulator."""
    with Client(simulator) as client:
        yield client


# The specification


def test_query_is_queued_then_running_then_ready() -> None:
    clock = [100.0]
    with (
        Simulator(
            clock=lambda: clock[0], queued_polls=1, running_seconds={"events": 3}
        ) as simulator,
        Client(simulator) as client,
    ):
        query = client.submit("events").json()
        answers = []
        for clock[0] in (101.0, 102.0, 102.9, 103.0):
            response = client.call("GET", "events", **query)
            answers.append((response.status_code, response.json().get("message")))
    running = (202, "Accepted query and is running")
    queued = (201, "Query is queued and waiting to be executed")
    assert answers == [queued, running, running, (200, None)]


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (999, [999]), (1000, [999, 1])])
def test_page_has_999_rows_at_most_and_last_page_no_token(count: int, sizes: list[int]) -> None:
    dataset = Dataset({"events": count}, newest=NEWEST)
    with Simulator(dataset) as simulator, Client(simulator) as client:
        assert [len(page) for page in client.pages("events")] == sizes


def test_export_has_the_current_rows_in_random_order(client: Client, simulator: Simulator) -> None:
    expected = simulator.dataset["events"]
    expected[0]["name"] = "Changed"
    rows = [row for page in client.pages("events", size=2) for row in page]
    assert rows != expected
    assert sorted(rows, key=lambda row: int(row["id"])) == expected


def test_both_bounds_are_inclusive_on_updated_on(client: Client, simulator: Simulator) -> None:
    events = simulator.dataset["events"]
    events[0]["updatedOn"] = "2021-05-06 07:30:00.000+05:30"
    events[1]["updatedOn"] = None
    events[2:] = []
    for start, end, count in (
        ("2021-05-06T02:00:00Z", "2022-01-01", 1),
        ("2020-01-01", "2021-05-05T21:00:00-05:00", 1),
        ("2021-05-06T02:00:00.001Z", "2030-01-01", 0),
        ("2020-01-01", "2021-05-06T01:59:59Z", 0),
    ):
        (rows,) = client.pages("events", updatedStart=start, updatedEnd=end)
        assert len(rows) == count


@pytest.mark.parametrize(
    ("window", "status", "message"),
    [
        ({"updatedStart": "2020-01-01"}, 400, "updatedStart and updatedEnd are required"),
        ({"updatedStart": "soon", "updatedEnd": "2020-01-01"}, 500, "Error Parsing Start Date"),
        ({"updatedStart": "2020-01-01", "updatedEnd": "2020-02-30"}, 500, "Error Parsing End Date"),
    ],
)
def test_submit_with_invalid_window_is_refused(
    client: Client, window: dict[str, str], status: int, message: str
) -> None:
    response = client.submit("events", **window)
    assert (response.status_code, response.json()) == (status, {"message": message})


def test_other_invalid_requests_are_refused(client: Client) -> None:
    query = client.submit("events").json()
    assert client.call("GET", "users", **query).status_code == 400
    for wrong in ({"queryId": "x"}, {"token": "x"}, {"size": 0}, {"size": 1000}, {"size": "many"}):
        assert client.call("GET", "events", **query | wrong).status_code == 400
    assert client.submit("nothing").status_code == 404
    assert client.call("PUT", "events").status_code == 405
    client.headers["X-CG-School"] = "another"
    response = client.call("GET", "events", **query)
    assert response.status_code == 401
    assert response.json() == {"message": "Error validating API key from API endpoint"}


# Limits and records of requests


def test_submit_at_the_limit_of_active_queries_is_429() -> None:
    with Simulator(queued_polls=1, max_active=1) as simulator, Client(simulator) as client:
        first = client.submit("events").json()
        assert client.submit("groups").status_code == 429
        assert [client.call("GET", "events", **first).status_code for _ in range(2)] == [201, 200]
        assert client.submit("groups").status_code == 200
        simulator.timing.max_active = 2
        assert client.submit("groups").status_code == 200
        assert simulator.peak_active == 2


# Errors


def test_error_inside_the_simulator_is_raised_on_exit() -> None:
    dataset = Dataset(1, newest=NEWEST)
    dataset["events"][0]["description"] = object()
    with Simulator(dataset) as simulator, Client(simulator) as client:
        with pytest.raises(requests.ConnectionError):
            client.submit("events")
        with pytest.raises(TypeError, match="JSON serializable"):
            simulator.__exit__(None, None, None)
        simulator.errors.clear()


# Rows


@pytest.mark.parametrize("stream", tap_schemas())
def test_rows_are_reproducible_and_valid_and_their_foreign_keys_exist(stream: str) -> None:
    dataset = Dataset(30, newest=NEWEST, span=timedelta(days=9))
    schema = dataset.schema(stream)
    for row in dataset[stream]:
        Draft202012Validator(schema).validate(row)
        assert set(row) == {name for name in schema["properties"] if not name.startswith("_")}
        keys = [row[name] for name in FOREIGN_KEYS.keys() & row.keys()]
        assert all(1 <= int(key) <= 30 for key in keys if key and not isinstance(key, list))
    assert Dataset(30, newest=NEWEST, span=timedelta(days=9)).row(stream, 7) == dataset[stream][6]


def test_timestamps_have_regular_and_unusual_formats() -> None:
    rows = Dataset({"events": 200}, newest=NEWEST)["events"]
    assert {re.sub(r"\d", "0", row["updatedOn"])[10:] for row in rows} == {
        "T00:00:00.000Z", "T00:00:00Z", "T00:00:00.000+00:00", "T00:00:00.000-00:00",
        " 00:00:00.000Z",
    }  # fmt: skip
