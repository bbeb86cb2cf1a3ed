"""Requests, parameters and refusals of the simulated service."""

from __future__ import annotations

import pytest

from tests.simulator import Dataset, Simulator, Status
from tests.support.api_client import EVERYTHING, ApiClient, ids


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("header", ["X-CG-API-Secret", "X-CG-School"])
@pytest.mark.parametrize("value", ["wrong", None])
def test_request_with_wrong_or_missing_header_is_401(
    client: ApiClient, method: str, header: str, value: str | None
) -> None:
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
def test_submit_with_invalid_window_is_refused(
    client: ApiClient, window: dict[str, str], message: str
) -> None:
    response = client.request("POST", "events", params=window)
    # The specification lists the messages about unparsable dates as 500.
    assert response.status_code == (500 if message.startswith("Error") else 400)
    assert response.json() == {"message": message}


@pytest.mark.parametrize(
    "start",
    [
        "2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T00:00:00.123456789Z",
        "2026-01-31T05:00:00+05:00", "2026-01-30T19:00:00.5-05:00",
    ],
)  # fmt: skip
def test_bound_in_every_documented_format_is_accepted(
    client: ApiClient, dataset: Dataset, start: str
) -> None:
    dataset["events"][:] = dataset["events"][:1]
    assert ids(client.rows("events", updatedStart=start, updatedEnd="2026-02-01")) == [1]
    assert client.rows("events", updatedStart="2026-01-31T12:34:57Z", updatedEnd="2026-02-01") == []


def test_get_with_invalid_parameters_is_400(client: ApiClient) -> None:
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
def test_unknown_path_is_404(client: ApiClient, path: str) -> None:
    assert client.request("POST", path, params=EVERYTHING).status_code == 404


def test_stream_under_another_path_is_404_under_its_own(
    simulator: Simulator, client: ApiClient
) -> None:
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
def test_other_method_is_405_and_connection_stays_usable(client: ApiClient, method: str) -> None:
    response = client.request(method, "events")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, POST"
    assert client.post("events").status_code == 200, "the connection is still in step"


def test_requests_are_recorded_with_decoded_parameters_and_without_secret(
    simulator: Simulator, client: ApiClient
) -> None:
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
