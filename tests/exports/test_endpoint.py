"""The requests of one stream, and the other spelling of its path."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tap_campusgroups.exports.http_client import Endpoint
from tap_campusgroups.exports.pagination import Fetch, Step, Submit
from tests.support.exports import WINDOW

BOUNDS = "updatedStart=2024-01-01T00%3A00%3A00Z&updatedEnd=2024-02-01T00%3A00%3A00Z"


def endpoint(path_alias: str | None = None) -> Endpoint:
    """Return the endpoint of a stream."""
    return Endpoint(
        url="https://school.example/data/v1",
        path="/events",
        path_alias=path_alias,
        page_size=50,
        school_code="school",
        user_agent="agent/1",
        api_secret="sentinel",  # noqa: S106 - not a real one
    )


@pytest.mark.parametrize(
    ("step", "method", "query"),
    [
        (Submit(WINDOW), "POST", BOUNDS),
        (Fetch("q 1"), "GET", "queryId=q+1&size=50"),
        (Fetch("q", "a+b", polls=7), "GET", "queryId=q&size=50&token=a%2Bb"),
        (Fetch("q", ""), "GET", "queryId=q&size=50&token="),
    ],
)
def test_request_of_a_step_has_its_method_parameters_and_headers(
    step: Step, method: str, query: str
) -> None:
    request = endpoint().request(step)
    url = urlsplit(request.url or "")
    assert (request.method, url.netloc, url.path) == (method, "school.example", "/data/v1/events")
    assert url.query == query
    assert request.body is None
    assert dict(request.headers) == {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Connection": "keep-alive",
        "User-Agent": "agent/1",
        "X-CG-API-Secret": "sentinel",
        "X-CG-School": "school",
    } | ({"Content-Length": "0"} if method == "POST" else {})


def test_other_path_is_used_once_it_is_known_that_the_first_does_not_exist() -> None:
    one = endpoint("/other")
    assert one.use_alias("/events")
    assert one.use_alias("/events")  # as another worker, whose request was under way
    assert one.path == "/other"
    assert urlsplit(one.request(Submit(WINDOW)).url or "").path == "/data/v1/other"
    assert not one.use_alias("/other")
    assert not endpoint().use_alias("/events")


def test_representation_of_an_endpoint_has_no_secret() -> None:
    assert "sentinel" not in repr(endpoint())
