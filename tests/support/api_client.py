"""A plain client of the simulated service, for tests of the simulator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import requests

from tests.simulator.dataset import tap_schemas
from tests.support.harness import WAIT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.simulator import Simulator

NEWEST = datetime(2026, 1, 31, 12, 34, 56, 789_000, tzinfo=UTC)
"""`updatedOn` of the newest row in tests of the simulator."""

EVERYTHING = {"updatedStart": "2020-01-01", "updatedEnd": "2030-01-01T00:00:00Z"}
"""A window that holds every row."""

STREAMS = tuple(tap_schemas())


class ApiClient:
    """Client of one simulator over one kept-alive connection."""

    def __init__(self, simulator: Simulator) -> None:
        """Start a session with the required headers and without proxies."""
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
        """Send a request to a path under the base URL; a header of None is omitted."""
        return self.session.request(
            method,
            f"{self.url}/{path}",
            params=params,
            headers=headers,
            timeout=WAIT_LIMIT,
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
        """Poll a query or request a page."""
        return self.request("GET", stream, params={"queryId": query_id, **parameters})

    def pages(self, stream: str, query_id: str, size: int = 999) -> Iterator[dict[str, Any]]:
        """Yield all pages of a finished query."""
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
    """Return the ids of rows in their order."""
    return [row["id"] for row in rows]
