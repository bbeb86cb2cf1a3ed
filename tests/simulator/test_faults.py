"""Injected faults reach the client as described."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pytest
import requests

from tests.simulator import (
    CancelQuery,
    ConnectionReset,
    Dataset,
    EmptyPage,
    EmptyToken,
    FailQuery,
    Fault,
    FaultType,
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
from tests.support.api_client import ApiClient

if TYPE_CHECKING:
    from tests.simulator.request_context import RequestContext


def test_status_with_message_header_or_value(simulator: Simulator, client: ApiClient) -> None:
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
    simulator.inject(Status(599, "custom").on())
    assert client.request("GET", "nothing").json() == {"message": "custom"}


def test_fault_with_after_and_without_times_hits_until_cleared(
    simulator: Simulator, client: ApiClient
) -> None:
    query_id = client.submit("events")
    simulator.inject(Status(500).on("events", "first_page", times=None, after=1))
    seen = [client.get("events", query_id).status_code for _ in range(4)]
    assert seen == [200, 500, 500, 500]
    simulator.clear_faults()
    assert client.get("events", query_id).status_code == 200


def test_several_faults_count_the_same_requests(simulator: Simulator, client: ApiClient) -> None:
    simulator.inject(Status(500).on("events", "submit"))
    simulator.inject(Status(502).on("events", "submit"))
    simulator.inject(Status(504).on("events", "submit", after=3))
    seen = [client.post("events").status_code for _ in range(5)]
    assert seen == [500, 502, 200, 504, 200]


@pytest.mark.parametrize(
    "wrong", [{"phase": "begin"}, {"times": 0}, {"after": -1}, {"stream": "event"}]
)
def test_fault_that_could_never_hit_is_rejected(
    simulator: Simulator, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"phase|times|stream"):
        simulator.inject(Fault(ConnectionReset(), **wrong))


@pytest.mark.parametrize("phase", ["submit", "first_page", "later_page"])
def test_connection_reset_is_seen_by_the_client(
    simulator: Simulator, client: ApiClient, phase: Phase
) -> None:
    simulator.inject(ConnectionReset().on("events", phase))
    with pytest.raises(requests.ConnectionError, match=r"reset|10054"):
        client.rows("events", 7)
    assert simulator.requests[-1].status is None
    assert len(client.rows("events", 7)) == 20


@pytest.mark.parametrize("mode", ["length", "chunked"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_truncated_body_is_detectable_even_with_every_byte(
    simulator: Simulator, client: ApiClient, mode: Literal["length", "chunked"], share: float
) -> None:
    query_id = client.submit("events")
    fault = simulator.inject(TruncatedBody(share, mode).on("events", "first_page"))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.get("events", query_id)
    assert fault.fired == 1
    assert client.get("events", query_id).status_code == 200


def test_random_bytes_html_and_json_body_are_sent_with_200(
    simulator: Simulator, client: ApiClient
) -> None:
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


def test_still_running_query_stays_active_until_the_condition_holds(
    simulator: Simulator, client: ApiClient
) -> None:
    simulator.inject(StillRunning(lambda: simulator.active == 2).on(times=None))
    first = client.submit("events")
    assert [client.get("events", first).status_code for _ in range(3)] == [202, 202, 202]
    second = client.submit("users")
    assert client.get("events", first).status_code == 200
    assert client.get("users", second).status_code == 202


@pytest.mark.parametrize("code", [302, 307])
def test_redirect_has_the_given_status_and_location(
    simulator: Simulator, client: ApiClient, code: int
) -> None:
    simulator.inject(Redirect("https://elsewhere.example/", code).on("events"))
    response = client.post("events")
    assert response.status_code == code
    assert response.headers["Location"] == "https://elsewhere.example/"


@pytest.mark.parametrize("phase", ["first_page", "later_page", None])
def test_empty_page_loses_no_row_and_repeats_on_retry(
    simulator: Simulator, client: ApiClient, phase: Phase | None
) -> None:
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


def test_repeated_token_comes_with_the_right_rows(simulator: Simulator, client: ApiClient) -> None:
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


def test_token_key_is_renamed_where_there_is_a_token(
    simulator: Simulator, client: ApiClient
) -> None:
    query_id = client.submit("events")
    simulator.inject(TokenKey().on("events", times=None))
    page = client.get("events", query_id, size=15).json()
    assert set(page) == {"Results", "nextToken"}
    last = client.get("events", query_id, size=15, token=page["nextToken"]).json()
    assert set(last) == {"Results"}


@pytest.mark.parametrize(("fault_type", "value"), [(NullToken(), None), (EmptyToken(), "")])
def test_null_or_empty_token_is_on_the_last_page_only(
    simulator: Simulator, client: ApiClient, fault_type: FaultType, value: object
) -> None:
    query_id = client.submit("events")
    fault = simulator.inject(fault_type.on("events"))
    page = client.get("events", query_id, size=15).json()
    assert fault.fired == 0
    last = client.get("events", query_id, size=15, token=page["NextToken"]).json()
    assert (len(last["Results"]), last["NextToken"]) == (5, value)


@pytest.mark.parametrize("phase", ["submit", "poll", "first_page", "later_page"])
@pytest.mark.parametrize(
    ("fault_type", "status", "message"),
    [
        (FailQuery(), 500, "Query execution failed"),
        (CancelQuery(), 410, "Query execution was cancelled"),
    ],
)
def test_failed_or_cancelled_query_stays_so_and_others_continue(
    dataset: Dataset,
    phase: Phase,
    fault_type: FaultType,
    status: int,
    message: str,
) -> None:
    spared = {"submit": [], "poll": [], "first_page": [202], "later_page": [202, 200]}[phase]
    with Simulator(dataset, running_polls=1) as simulator:
        client = ApiClient(simulator)
        simulator.inject(fault_type.on("events", phase))
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


def test_fault_type_sees_the_window_of_a_submit(simulator: Simulator, client: ApiClient) -> None:
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


def test_message_only_replaces_202(dataset: Dataset) -> None:
    with Simulator(dataset, queued_polls=1, running_polls=2) as simulator:
        client = ApiClient(simulator)
        simulator.inject(MessageOnly().on("events"))
        simulator.inject(MessageOnly("Still running").on("events"))
        query_id = client.submit("events")
        answers = [client.get("events", query_id) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
    assert answers[1].json() == {"message": "Accepted query and is running"}
    assert answers[2].json() == {"message": "Still running"}
    assert "Results" in answers[3].json()
