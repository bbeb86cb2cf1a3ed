"""The simulator does what specification 1.1 says of the service, and its faults do happen."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import pytest
import requests
from jsonschema import Draft202012Validator

from tests.simulator import (
    CancelQuery,
    ConnectionReset,
    Dataset,
    EmptyPage,
    EmptyToken,
    FailQuery,
    Fault,
    FaultType,
    Hang,
    HtmlPage,
    JsonBody,
    MessageOnly,
    NullToken,
    Phase,
    RandomBytes,
    Redirect,
    RepeatToken,
    Simulator,
    Status,
    StillRunning,
    TokenKey,
    TruncatedBody,
)
from tests.simulator.dataset import load_schemas, tap_schemas
from tests.simulator.timestamps import (
    UNUSUAL_FORMATS,
    format_timestamp,
    parse_timestamp,
    to_milliseconds,
)
from tests.simulator.vocabulary import FOREIGN_KEYS
from tests.support.harness import MAX_RETRY_DELAY as TIMEOUT
from tests.support.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.simulator.request_context import RequestContext

NEWEST = datetime(2026, 1, 31, 12, 34, 56, 789_000, tzinfo=UTC)
SPAN = timedelta(days=400)
EVERYTHING = {"updatedStart": "2020-01-01", "updatedEnd": "2030-01-01T00:00:00Z"}
DOCUMENTED = {
    "academic_experiences", "badge_completions", "badges", "budget_transactions", "budgets",
    "checkins", "checklist_items", "checklists", "event_registration_options", "events",
    "feed_posts", "groups", "members", "payments", "room_reservations", "rooms", "rsvp",
    "survey_submissions", "surveys", "tags", "tracks", "users", "work_experiences",
}  # fmt: skip
# One by one, whatever the tap ships schemas for.
STREAMS = tuple(tap_schemas())


class Client:
    """Asks one simulator, as plainly as can be, over one kept-alive connection."""

    def __init__(self, simulator: Simulator) -> None:
        """Start a session with the right headers, whatever the environment says of proxies."""
        self.url = simulator.url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(simulator.headers())

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> requests.Response:
        """Send a request to a path under the base URL; a header of None is left out."""
        return self.session.request(
            method,
            f"{self.url}/{path}",
            params=params,
            headers=headers,
            timeout=TIMEOUT,
            allow_redirects=False,
        )

    def post(self, stream: str, **window: str) -> requests.Response:
        """Submit a query, by default for everything."""
        return self.request("POST", stream, params=window or EVERYTHING)

    def submit(self, stream: str, **window: str) -> str:
        """Submit a query and return its id."""
        response = self.post(stream, **window)
        assert response.status_code == 200
        return str(response.json()["queryId"])

    def get(self, stream: str, query_id: str, **parameters: object) -> requests.Response:
        """Poll a query or ask for a page."""
        return self.request("GET", stream, params={"queryId": query_id, **parameters})

    def pages(self, stream: str, query_id: str, size: int = 999) -> Iterator[dict[str, Any]]:
        """Yield the pages of a finished query, to the last one."""
        parameters: dict[str, object] = {"size": size}
        while True:
            response = self.get(stream, query_id, **parameters)
            assert response.status_code == 200
            page = response.json()
            yield page
            if "NextToken" not in page:
                return
            parameters["token"] = page["NextToken"]

    def rows(self, stream: str, size: int = 999, **window: str) -> list[dict[str, Any]]:
        """Submit a query and return all of its rows."""
        query_id = self.submit(stream, **window)
        return [row for page in self.pages(stream, query_id, size) for row in page["Results"]]


def ids(rows: list[dict[str, Any]]) -> list[int]:
    """Return the rows' ids in their order."""
    return [row["id"] for row in rows]


@pytest.fixture
def dataset() -> Dataset:
    """Return 20 rows a stream."""
    return Dataset(20, newest=NEWEST)


@pytest.fixture
def simulator(dataset: Dataset) -> Iterator[Simulator]:
    """Serve the dataset."""
    with Simulator(dataset) as serving:
        yield serving


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    """Return a client of the simulator."""
    asking = Client(simulator)
    with asking.session:
        yield asking


# -- the service ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("header", ["X-CG-API-Secret", "X-CG-School"])
@pytest.mark.parametrize("value", ["wrong", None])
def test_a_wrong_or_missing_header_is_401(
    client: Client, method: str, header: str, value: str | None
) -> None:
    """Both headers count, on both methods, with the specification's message."""
    query_id = client.submit("events")
    response = client.request(
        method, "events", params={**EVERYTHING, "queryId": query_id}, headers={header: value}
    )
    assert response.status_code == 401
    assert response.json() == {"message": "Error validating API key from API endpoint"}


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({}, "updatedStart and updatedEnd are required"),
        ({"updatedStart": "2020-01-01"}, "updatedStart and updatedEnd are required"),
        ({"updatedEnd": "2020-01-01"}, "updatedStart and updatedEnd are required"),
        ({"updatedStart": "", "updatedEnd": ""}, "updatedStart and updatedEnd are required"),
        ({"updatedStart": "soon", "updatedEnd": "2020-01-01"}, "Error Parsing Start Date"),
        ({"updatedStart": "2020-01-01", "updatedEnd": "01/02/2020"}, "Error Parsing End Date"),
        ({"updatedStart": "2020-01-01", "updatedEnd": "2020-02-30"}, "Error Parsing End Date"),
        ({"updatedStart": "2020-01-01T00:00:00 00:00", "updatedEnd": "2020-02-03"},
         "Error Parsing Start Date"),
    ],
)  # fmt: skip
def test_a_bad_window_is_400(client: Client, window: dict[str, str], message: str) -> None:
    """Missing before unparsable, start before end; a `+` that became a blank is no offset."""
    response = client.request("POST", "events", params=window)
    assert response.status_code == 400
    assert response.json() == {"message": message}


@pytest.mark.parametrize(
    "start",
    [
        "2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T00:00:00.123456789Z",
        "2026-01-31T05:00:00+05:00", "2026-01-30T19:00:00.5-05:00",
    ],
)  # fmt: skip
def test_every_form_of_a_bound_is_read(client: Client, dataset: Dataset, start: str) -> None:
    """A date is its midnight; fractions and offsets are understood."""
    dataset["events"][:] = dataset["events"][:1]
    assert ids(client.rows("events", updatedStart=start, updatedEnd="2026-02-01")) == [1]
    assert client.rows("events", updatedStart="2026-01-31T12:34:57Z", updatedEnd="2026-02-01") == []


def test_a_get_with_bad_parameters_is_400(client: Client) -> None:
    """No query, an unknown one, another stream's, and sizes outside 1..999."""
    query_id = client.submit("events")
    client.submit("users")
    assert client.request("GET", "events").status_code == 400
    assert client.get("events", "").status_code == 400
    assert client.get("events", "9261fb39-9206-4f6a-80dd-0b5329c8ba4b").status_code == 400
    assert client.get("users", query_id).status_code == 400
    for size in ("0", "-1", "1000", "99999999999999999999", "many", "1.5", "", "²"):
        assert client.get("events", query_id, size=size).status_code == 400, size
    assert all("message" in client.get("events", query_id, size=0).json() for _ in range(2))


@pytest.mark.parametrize("path", ["nothing", "", "events/", "events/1", "room_reservation"])
def test_an_unknown_path_is_404(client: Client, path: str) -> None:
    """Paths are compared whole."""
    assert client.request("POST", path, params=EVERYTHING).status_code == 404


def test_a_stream_may_be_served_under_another_path_only(
    simulator: Simulator, client: Client
) -> None:
    """Its rows, its faults and its queries stay its own."""
    simulator.paths["room_reservations"] = "rooms_reservations"
    fault = simulator.inject(Status(503).on("room_reservations", "submit"))
    assert client.post("room_reservations").status_code == 404
    assert client.post("rooms_reservations").status_code == 503
    assert fault.fired == 1
    assert sorted(ids(client.rows("rooms_reservations"))) == list(range(1, 21))
    assert client.get("rooms", client.submit("rooms_reservations")).status_code == 400
    assert [(request.path[9:], request.stream) for request in simulator.requests[:2]] == [
        ("room_reservations", None), ("rooms_reservations", "room_reservations"),
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_another_method_is_405(client: Client, method: str) -> None:
    """Only GET and POST are known; a refusal leaves the connection usable."""
    response = client.request(method, "events")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, POST"
    assert client.post("events").status_code == 200, "the connection is still in step"


def test_a_query_is_queued_then_runs_then_answers_by_the_clock(dataset: Dataset) -> None:
    """Each limit belongs to the later state, and waits may differ by stream."""
    clock = [100.0]
    with Simulator(
        dataset, clock=lambda: clock[0], queued_seconds=2, running_seconds={"events": 3}
    ) as simulator:
        client = Client(simulator)
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


def test_a_query_answers_as_many_polls_as_it_is_told_to(dataset: Dataset) -> None:
    """Polls count down without the clock."""
    with Simulator(dataset, queued_polls=2, running_polls=1) as simulator:
        client = Client(simulator)
        query_id = client.submit("events")
        seen = [client.get("events", query_id).status_code for _ in range(5)]
    assert seen == [201, 201, 202, 200, 200]
    assert [request.phase for request in simulator.requests] == [
        "submit", "poll", "poll", "poll", "first_page", "first_page",
    ]  # fmt: skip


def test_a_page_takes_its_time_and_nothing_else_does(dataset: Dataset) -> None:
    """First and later pages that answer 200, by stream; not submits, polls or errors."""
    longer_than_the_clients_patience = {"events": 12 * TIMEOUT}
    with Simulator(
        dataset, running_polls=1, page_seconds=longer_than_the_clients_patience
    ) as simulator:
        client = Client(simulator)
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
def test_paging_yields_every_row_once_in_no_order(
    client: Client, dataset: Dataset, size: int
) -> None:
    """Neither by id nor by date, at any size, and equal to the dataset's rows."""
    rows = client.rows("events", size)
    assert sorted(ids(rows)) == list(range(1, 21))
    assert ids(rows) != sorted(ids(rows))
    dates = [row["updatedOn"] for row in rows]
    assert dates != sorted(dates)
    assert {row["id"]: row for row in rows} == {row["id"]: row for row in dataset["events"]}


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (999, [999]), (1000, [999, 1])])
def test_the_default_page_is_999_rows_and_the_last_has_no_token(
    count: int, sizes: list[int]
) -> None:
    """A full last page has no token either."""
    with Simulator(Dataset({"tags": count}, newest=NEWEST)) as simulator:
        client = Client(simulator)
        pages = list(client.pages("tags", client.submit("tags")))
    assert [len(page["Results"]) for page in pages] == sizes
    assert "NextToken" not in pages[-1]


def test_a_query_has_one_order_and_another_query_another(client: Client) -> None:
    """The first page is the same when it is asked for again."""
    first, second = client.submit("events"), client.submit("events")
    orders = [
        ids(client.get("events", query).json()["Results"]) for query in (first, first, second)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_a_token_must_be_encoded_and_belongs_to_its_page_and_query(client: Client) -> None:
    """A token put into a URL as it is does not work, nor with another query."""
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


def test_both_bounds_are_inclusive_to_the_millisecond(client: Client, dataset: Dataset) -> None:
    """The newest row is found by its own instant and by no other."""
    newest = "2026-01-31T12:34:56.789Z"
    assert dataset["events"][0]["updatedOn"] == newest
    assert ids(client.rows("events", updatedStart=newest, updatedEnd=newest)) == [1]
    late = client.rows("events", updatedStart="2026-01-31T12:34:56.790Z", updatedEnd="2030-01-01")
    assert late == []
    early = client.rows("events", updatedStart="2020-01-01", updatedEnd="2026-01-31T12:34:56.788Z")
    assert sorted(ids(early)) == list(range(2, 21))


def test_windows_that_share_a_bound_hold_every_row(client: Client, dataset: Dataset) -> None:
    """The row on the bound is in both."""
    middle = sorted(str(parse_timestamp(row["updatedOn"])) for row in dataset["events"])[9]
    middle = datetime.fromisoformat(middle).isoformat()
    before = client.rows("events", updatedStart="2020-01-01", updatedEnd=middle)
    after = client.rows("events", updatedStart=middle, updatedEnd="2030-01-01")
    assert len(before) + len(after) == 21
    assert set(ids(before)) | set(ids(after)) == set(range(1, 21))


@pytest.mark.parametrize("odd", [None, "", "yesterday", 5, "9999-99-99"])
def test_row_without_a_usable_date_is_in_no_window(
    client: Client, dataset: Dataset, odd: object
) -> None:
    """Null, missing and unreadable dates, as in SQL."""
    dataset["events"][3]["updatedOn"] = odd
    del dataset["events"][4]["updatedOn"]
    rows = client.rows("events", updatedStart="1999-01-01", updatedEnd="2999-01-02")
    assert sorted(ids(rows)) == [1, 2, 3, *range(6, 21)]


@pytest.mark.parametrize("form", UNUSUAL_FORMATS)
def test_odd_dates_are_matched_by_their_instant(
    client: Client, dataset: Dataset, form: Callable[[int], str]
) -> None:
    """Whatever the spelling."""
    instant = datetime(2021, 5, 6, 2, 0, 0, tzinfo=UTC)
    dataset["events"][0]["updatedOn"] = form(to_milliseconds(instant))
    bound = "2021-05-06T02:00:00Z"
    assert ids(client.rows("events", updatedStart=bound, updatedEnd=bound)) == [1]


def test_a_query_is_a_snapshot_and_the_next_one_sees_changes(
    client: Client, dataset: Dataset
) -> None:
    """Changed, replaced, appended and removed rows; half a surrogate pair as well."""
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


def test_a_frozen_dataset_serves_the_same_rows() -> None:
    """Changes from before count, and there are none after."""
    frozen = Dataset(20, newest=NEWEST)
    frozen["users"][0]["firstName"] = "Changed"
    frozen.freeze()
    assert frozen.preload() == 20 * len(STREAMS)
    with Simulator(frozen) as simulator:
        users, events = Client(simulator).rows("users"), Client(simulator).rows("events")
    assert next(row for row in users if row["id"] == 1)["firstName"] == "Changed"
    assert sorted(events, key=lambda row: int(row["id"])) == Dataset(20, newest=NEWEST)["events"]
    with pytest.raises(RuntimeError):
        frozen["users"]


def test_too_many_unfinished_queries_are_429(dataset: Dataset) -> None:
    """A query is unfinished until a client has seen its end."""
    with Simulator(dataset, queued_polls=1, max_active=2) as simulator:
        client = Client(simulator)
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


def test_requests_are_recorded_with_decoded_parameters(
    simulator: Simulator, client: Client
) -> None:
    """In their order, without the secret in their repr."""
    query_id = client.submit(
        "events", updatedStart="2020-01-01", updatedEnd="2026-02-01T00:00:00+01:00"
    )
    token = client.get("events", query_id, size=15).json()["NextToken"]
    client.get("events", query_id, size=15, token=token)
    client.request("GET", "nothing")
    submit, first, later, lost = simulator.requests
    assert (submit.method, submit.path, submit.stream) == ("POST", "/data/v1/events", "events")
    assert submit.query["updatedEnd"] == "2026-02-01T00:00:00+01:00"
    assert submit.headers["x-cg-school"] == "readyeducation"
    assert first.query == {"queryId": query_id, "size": "15"}
    assert later.query["token"] == token
    phases = [request.phase for request in simulator.requests]
    assert phases == ["submit", "first_page", "later_page", "refused"]
    assert (lost.stream, lost.status) == (None, 404)
    assert submit.at <= first.at <= later.at
    assert simulator.api_secret not in repr(simulator.requests)


def test_many_clients_at_once_get_what_is_theirs(simulator: Simulator) -> None:
    """All streams side by side, on a connection each."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda stream: ids(Client(simulator).rows(stream, 3)), STREAMS))
    assert [sorted(rows) for rows in found] == [list(range(1, 21))] * len(STREAMS)
    assert len(simulator.requests) == len(STREAMS) * 8
    assert set(STREAMS) >= DOCUMENTED


def test_the_same_seed_serves_the_same_order_whatever_else_runs() -> None:
    """Two fresh simulators agree."""
    with Simulator(Dataset(20, newest=NEWEST)) as one, Simulator(Dataset(20, newest=NEWEST)) as two:
        other = Client(two)
        other.submit("users")
        assert Client(one).rows("events") == other.rows("events")


# -- faults ---------------------------------------------------------------------------------------


def test_status(simulator: Simulator, client: Client) -> None:
    """With a message, a header, a value, in a phase of a stream or anywhere."""
    fault = simulator.inject(
        Fault(Status(503, headers={"Retry-After": "7"}), stream="events", phase="submit", times=2)
    )
    assert client.post("users").status_code == 200
    answers = [client.post("events") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[0].json() == {"message": "Service Unavailable"}
    assert fault.fired == 2
    assert simulator.requests[1].fault == "Status"
    simulator.inject(Status(418, value={"message": "tea", "code": 1}).on())
    assert client.post("users").json() == {"message": "tea", "code": 1}
    simulator.inject(Status(599, "odd").on())
    assert client.request("GET", "nothing").json() == {"message": "odd"}


def test_after_and_always_and_clear(simulator: Simulator, client: Client) -> None:
    """Spared first, then hit without end, until cleared."""
    query_id = client.submit("events")
    simulator.inject(Status(500).on("events", "first_page", times=None, after=1))
    seen = [client.get("events", query_id).status_code for _ in range(4)]
    assert seen == [200, 500, 500, 500]
    simulator.clear_faults()
    assert client.get("events", query_id).status_code == 200


def test_faults_queue_up(simulator: Simulator, client: Client) -> None:
    """One after the other; each counts what the others hit."""
    simulator.inject(Status(500).on("events", "submit"))
    simulator.inject(Status(502).on("events", "submit"))
    simulator.inject(Status(504).on("events", "submit", after=3))
    seen = [client.post("events").status_code for _ in range(5)]
    assert seen == [500, 502, 200, 504, 200]


@pytest.mark.parametrize(
    "wrong", [{"phase": "begin"}, {"times": 0}, {"after": -1}, {"stream": "event"}]
)
def test_a_fault_that_could_never_happen_is_refused(
    simulator: Simulator, wrong: dict[str, Any]
) -> None:
    """A typing error in a test would pass unnoticed otherwise."""
    with pytest.raises(ValueError, match=r"phase|times|stream"):
        simulator.inject(Fault(ConnectionReset(), **wrong))


@pytest.mark.parametrize("phase", ["submit", "first_page", "later_page"])
def test_reset(simulator: Simulator, client: Client, phase: Phase) -> None:
    """The client sees a reset, not an end, and may ask again."""
    simulator.inject(ConnectionReset().on("events", phase))
    with pytest.raises(requests.ConnectionError, match=r"reset|10054"):
        client.rows("events", 7)
    assert simulator.requests[-1].status is None
    assert len(client.rows("events", 7)) == 20


@pytest.mark.parametrize("mode", ["length", "chunked"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_truncated(
    simulator: Simulator, client: Client, mode: Literal["length", "chunked"], share: float
) -> None:
    """Even with every byte of the body there, the client can tell that its end is missing."""
    query_id = client.submit("events")
    fault = simulator.inject(TruncatedBody(share, mode).on("events", "first_page"))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.get("events", query_id)
    assert fault.fired == 1
    assert client.get("events", query_id).status_code == 200


def test_garbage_html_and_wrong_json(simulator: Simulator, client: Client) -> None:
    """200 each time, and never a page."""
    query_id = client.submit("events")
    simulator.inject(RandomBytes(64).on("events", "first_page"))
    response = client.get("events", query_id)
    assert (response.status_code, len(response.content)) == (200, 64)
    with pytest.raises(requests.JSONDecodeError):
        response.json()
    simulator.inject(HtmlPage().on("events", "first_page"))
    response = client.get("events", query_id)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.text.startswith("<!doctype html>")
    values: list[Any] = [[], {"Results": None}, {"message": "Error: no"}, None, 7]
    for value in values:
        simulator.inject(JsonBody(value).on("events", "first_page"))
        response = client.get("events", query_id)
        assert (response.status_code, response.json()) == (200, value)
    assert len(client.get("events", query_id).json()["Results"]) == 20


def test_hang_until_release(simulator: Simulator, client: Client) -> None:
    """Silence, then the true answer."""
    simulator.inject(Hang().on("events", "submit"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "events")
        wait_until(lambda: simulator.hanging == 1)
        assert not waiting.done()
        simulator.release()
        assert waiting.result(TIMEOUT).status_code == 200
    assert simulator.hanging == 0


def test_query_still_running_is_unfinished_until_the_condition_holds(
    simulator: Simulator, client: Client
) -> None:
    """Any number of polls."""
    simulator.inject(StillRunning(lambda: simulator.active == 2).on(times=None))
    first = client.submit("events")
    assert [client.get("events", first).status_code for _ in range(3)] == [202, 202, 202]
    second = client.submit("users")
    assert client.get("events", first).status_code == 200
    assert client.get("users", second).status_code == 202


def test_holds_knows_the_address_of_the_client_that_hangs(
    simulator: Simulator, client: Client
) -> None:
    """Not those of the others, and not any more after the release."""
    client.submit("users")
    simulator.inject(Hang().on("events", "submit"))
    with socket.create_connection(("127.0.0.1", urlsplit(simulator.url).port or 0)) as hung:
        headers = "".join(f"{name}: {text}\r\n" for name, text in simulator.headers().items())
        target = f"/data/v1/events?{urlencode(EVERYTHING)}"
        hung.sendall(f"POST {target} HTTP/1.1\r\n{headers}\r\n".encode())
        wait_until(lambda: simulator.hanging == 1)
        address = hung.getsockname()
        assert simulator.holds(address)
        assert not simulator.holds((address[0], address[1] - 1))
        simulator.release()
        assert b" 200 OK" in hung.recv(1000)
    assert not simulator.holds(address)


def test_hang_past_the_clients_patience(simulator: Simulator, client: Client) -> None:
    """A client that gave up does not disturb the next one."""
    simulator.inject(Hang().on("events", "submit"))
    with pytest.raises(requests.ReadTimeout):
        client.session.post(f"{client.url}/events", params=EVERYTHING, timeout=0.05)
    wait_until(lambda: simulator.hanging == 1)  # perhaps only now, on a busy machine
    assert client.post("events").status_code == 200


def test_close_lets_go_of_everything_fast(dataset: Dataset) -> None:
    """With one client idle and one hung."""
    before = set(threading.enumerate())
    simulator = Simulator(dataset)
    client = Client(simulator)
    client.submit("users")
    simulator.inject(Hang().on("events"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(Client(simulator).post, "events")
        wait_until(lambda: simulator.hanging == 1)
        started = time.monotonic()
        simulator.close()
        assert time.monotonic() - started < TIMEOUT
        with pytest.raises(requests.ConnectionError):
            waiting.result(TIMEOUT)
    simulator.close()
    assert set(threading.enumerate()) <= before
    assert simulator.errors == []
    with pytest.raises(requests.ConnectionError):
        client.post("users")


def test_pages_wait_side_by_side_and_close_ends_that_at_once(dataset: Dataset) -> None:
    """Nobody waits for another's page, and a release is for what hangs: it sends no page early."""
    with Simulator(dataset, page_seconds=12 * TIMEOUT) as simulator, ThreadPoolExecutor(3) as pool:
        clients = [Client(simulator) for _ in range(3)]
        queries = [client.submit("events") for client in clients]
        waiting = [
            pool.submit(client.get, "events", query)
            for client, query in zip(clients, queries, strict=True)
        ]
        wait_until(lambda: [r.phase for r in simulator.requests].count("first_page") == 3)
        assert Client(simulator).post("users").status_code == 200
        simulator.release()
        assert simulator.hanging == 0
        assert not any(page.done() for page in waiting)
        started = time.monotonic()
        simulator.close()
        assert time.monotonic() - started < TIMEOUT
        for page in waiting:
            with pytest.raises(requests.ConnectionError):
                page.result(TIMEOUT)


@pytest.mark.parametrize("code", [302, 307])
def test_redirect(simulator: Simulator, client: Client, code: int) -> None:
    """To wherever a test says."""
    simulator.inject(Redirect("https://elsewhere.example/", code).on("events"))
    response = client.post("events")
    assert response.status_code == code
    assert response.headers["Location"] == "https://elsewhere.example/"


@pytest.mark.parametrize("phase", ["first_page", "later_page", None])
def test_empty_page_loses_no_row(simulator: Simulator, client: Client, phase: Phase | None) -> None:
    """The rows come under the empty page's token."""
    query_id = client.submit("events")
    fault = simulator.inject(EmptyPage().on("events", phase, times=2))
    pages = list(client.pages("events", query_id, 7))
    # Only one page is ever the first.
    empty = 1 if phase == "first_page" else 2
    assert fault.fired == empty
    assert sorted(len(page["Results"]) for page in pages) == [0] * empty + [6, 7, 7]
    assert sorted(row["id"] for page in pages for row in page["Results"]) == list(range(1, 21))
    tokens = [page["NextToken"] for page in pages[:-1]]
    assert len(set(tokens)) == len(tokens)
    again = list(client.pages("events", query_id, 7))
    assert again == pages, "a retry finds the same"


def test_repeat_token(simulator: Simulator, client: Client) -> None:
    """The token just used, or the query's first one; the rows are right."""
    query_id = client.submit("events")
    simulator.inject(RepeatToken().on("events"))
    simulator.inject(RepeatToken("first").on("events", after=2))
    first = client.get("events", query_id, size=7).json()
    token = first["NextToken"]
    assert client.get("events", query_id, size=7, token=token).json()["NextToken"] == token
    second = client.get("events", query_id, size=7, token=token).json()
    assert len(second["Results"]) == 7
    last = client.get("events", query_id, size=7, token=second["NextToken"]).json()
    assert last["NextToken"] == token
    assert len(last["Results"]) == 6


def test_token_spelling(simulator: Simulator, client: Client) -> None:
    """Only where there is a token."""
    query_id = client.submit("events")
    simulator.inject(TokenKey().on("events", times=None))
    page = client.get("events", query_id, size=15).json()
    assert set(page) == {"Results", "nextToken"}
    last = client.get("events", query_id, size=15, token=page["nextToken"]).json()
    assert set(last) == {"Results"}


@pytest.mark.parametrize(("kind", "value"), [(NullToken(), None), (EmptyToken(), "")])
def test_token_on_the_last_page(
    simulator: Simulator, client: Client, kind: FaultType, value: object
) -> None:
    """Null or empty, on the last page only."""
    query_id = client.submit("events")
    fault = simulator.inject(kind.on("events"))
    page = client.get("events", query_id, size=15).json()
    assert fault.fired == 0
    last = client.get("events", query_id, size=15, token=page["NextToken"]).json()
    assert (len(last["Results"]), last["NextToken"]) == (5, value)


@pytest.mark.parametrize("phase", ["submit", "poll", "first_page", "later_page"])
@pytest.mark.parametrize(
    ("kind", "status", "message"),
    [
        (FailQuery(), 500, "Query execution failed"),
        (CancelQuery(), 410, "Query execution was cancelled"),
    ],
)
def test_a_query_that_ends_stays_ended(
    dataset: Dataset,
    phase: Phase,
    kind: FaultType,
    status: int,
    message: str,
) -> None:
    """In whatever phase it ends; other queries live on."""
    spared = {"submit": [], "poll": [], "first_page": [202], "later_page": [202, 200]}[phase]
    with Simulator(dataset, running_polls=1) as simulator:
        client = Client(simulator)
        simulator.inject(kind.on("events", phase))
        query_id = client.submit("events")
        parameters: dict[str, object] = {"size": 7}
        for expected in spared:
            response = client.get("events", query_id, **parameters)
            assert response.status_code == expected
            if expected == 200:
                parameters["token"] = response.json()["NextToken"]
        for _ in range(2):
            response = client.get("events", query_id, **parameters)
            assert (response.status_code, response.json()) == (status, {"message": message})
        assert simulator.active == 0
        assert client.get("events", client.submit("events")).status_code == 202


def test_a_kind_knows_the_window_of_a_submit(simulator: Simulator, client: Client) -> None:
    """And that other requests have none."""
    seen: list[object] = []

    class Look(Status):
        def applies(self, context: RequestContext) -> bool:
            seen.append(context.window)
            return False

    simulator.inject(Look(503).on("events"))
    query_id = client.submit("events", updatedStart="2025-01-01", updatedEnd="2025-02-01T05:00:00Z")
    client.get("events", query_id)
    assert seen == [
        (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, 5, tzinfo=UTC)), None,
    ]  # fmt: skip


def test_message_only(dataset: Dataset) -> None:
    """In place of 202 only."""
    with Simulator(dataset, queued_polls=1, running_polls=2) as simulator:
        client = Client(simulator)
        simulator.inject(MessageOnly().on("events"))
        simulator.inject(MessageOnly("Still running").on("events"))
        query_id = client.submit("events")
        answers = [client.get("events", query_id) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
    assert answers[1].json() == {"message": "Accepted query and is running"}
    assert answers[2].json() == {"message": "Still running"}
    assert "Results" in answers[3].json()


def test_the_simulator_is_silent_when_a_client_goes_away(
    dataset: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the middle of a large page."""
    dataset["events"][0]["description"] = "x" * 30_000_000
    with Simulator(dataset) as simulator:
        client = Client(simulator)
        query_id = client.submit("events")
        with client.session.get(
            f"{client.url}/events", params={"queryId": query_id}, stream=True, timeout=TIMEOUT
        ) as response:
            response.raw.read(10)
            response.raw.close()
        client.session.close()
        assert Client(simulator).post("users").status_code == 200
    assert simulator.errors == []
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_simulator_is_not_hidden(dataset: Dataset) -> None:
    """It is raised when the simulator is left."""
    dataset["events"][0]["description"] = object()

    def submit() -> None:
        with Simulator(dataset) as simulator:
            with pytest.raises(requests.ConnectionError):
                Client(simulator).post("events")
            assert len(simulator.errors) == 1

    with pytest.raises(TypeError, match="JSON serializable"):
        submit()


# -- rows -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> Dataset:
    """Return 150 rows a stream; not to be changed."""
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
def test_rows_follow_the_schema_and_have_every_field(many: Dataset, stream: str) -> None:
    """Some values are null, but none in a full row, nested ones included."""
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
def test_dates_are_sensible(many: Dataset, stream: str) -> None:
    """Within the span, one at its end, and pairs in order."""
    rows = many[stream]
    instants = [parse_timestamp(row["updatedOn"]) for row in rows]
    assert all(instant is not None and NEWEST - SPAN <= instant <= NEWEST for instant in instants)
    assert instants.count(NEWEST) == 1
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


def test_foreign_keys_point_to_rows() -> None:
    """Each into a stream with a row count of its own."""
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


def test_values_are_plausible(many: Dataset) -> None:
    """Addresses, amounts, texts, and dates in odd forms."""
    flat = [leaf for stream in STREAMS for row in many[stream] for leaf in leaves(row)]
    mails = [value for name, _, value in flat if name.lower().endswith("email") and value]
    assert mails
    assert all(re.fullmatch(r"[a-z.]+\d+@[a-z]+\.example", str(mail)) for mail in mails if mail)
    prices = [value for name, _, value in flat if name in {"price", "amount", "fee"}]
    assert all(value is None or round(value, 2) == value for value in prices)  # type: ignore[call-overload]
    assert any(not str(value).isascii() for *_, value in flat)
    stamps = [str(value) for name, _, value in flat if name in {"updatedOn", "createdOn"} and value]
    odd = [stamp for stamp in stamps if not re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", stamp)]
    assert 0.03 < len(odd) / len(stamps) < 0.07
    assert all(parse_timestamp(stamp) is not None for stamp in odd)
    for mark in (r"\+00:00$", r"-05:00$", r"^.{10} ", r"T.{8}Z$"):
        assert any(re.search(mark, stamp) for stamp in odd), mark
    assert "" in [value for *_, value in flat]
    assert [] in [value for *_, value in flat]


def test_a_row_depends_on_seed_stream_and_number_only(many: Dataset) -> None:
    """Not on the rows before it."""
    again = Dataset(150, seed=3, newest=NEWEST)
    assert again.row("users", 77) == many["users"][76]
    assert again["users"] == many["users"]
    assert Dataset(150, seed=4, newest=NEWEST)["users"] != many["users"]
    with pytest.raises(ValueError, match="numbered"):
        again.row("users", 0)


def test_rows_by_stream_and_their_mistakes() -> None:
    """Streams left out are empty; unknown ones are an error."""
    dataset = Dataset({"events": 2}, newest=NEWEST)
    assert (len(dataset["events"]), dataset["users"]) == (2, [])
    with pytest.raises(ValueError, match="no such stream: event"):
        Dataset({"event": 2}, newest=NEWEST)
    with pytest.raises(ValueError, match="aware"):
        Dataset(newest=NEWEST.replace(tzinfo=None))


def test_schemas_may_come_from_another_folder(tmp_path: Path) -> None:
    """With whatever streams are there."""
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    (tmp_path / "stores.json").write_text(json.dumps(schema), encoding="utf-8")
    dataset = Dataset(1, newest=NEWEST, schemas=load_schemas(tmp_path))
    assert dataset.streams == ("stores",)
    assert dataset.full_row("stores", 1)["id"] == 1


def test_newest_keeps_its_microseconds() -> None:
    """Milliseconds are usual, but the newest row is exact."""
    newest = NEWEST.replace(microsecond=123_456)
    row = Dataset(3, newest=newest)["events"][0]
    assert row["updatedOn"] == "2026-01-31T12:34:56.123456Z"
    assert format_timestamp(to_milliseconds(NEWEST)) == "2026-01-31T12:34:56.789Z"


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to a process there")
def test_the_command_serves_until_sigterm(tmp_path: Path) -> None:
    """It prints its URL and nothing else, and exits with 0."""
    url_file = tmp_path / "url"
    command = [
        sys.executable, "-m", "tests.simulator", "--port", "0", "--rows", "events=30,users=2",
        "--seed", "1", "--school", "elsewhere", "--url-file", str(url_file),
    ]  # fmt: skip
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "SIMULATOR_SECRET": "from the environment"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/data/v1", url)
            headers = {"X-CG-API-Secret": "from the environment", "X-CG-School": "elsewhere"}
            with requests.Session() as session:
                session.trust_env = False
                session.headers.update(headers)
                reply = session.post(f"{url}/events", params=EVERYTHING, timeout=TIMEOUT)
                page = session.get(f"{url}/events", params=reply.json(), timeout=TIMEOUT)
                assert len(page.json()["Results"]) == 30
                process.send_signal(signal.SIGTERM)
                rest, errors = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert (process.returncode, rest, errors) == (0, "", "")
    assert url_file.read_text(encoding="utf-8").strip() == url
