"""The same sync with the SDK's defaults: a tap that a developer could write in an afternoon.

It runs one export at a time, with the SDK's parsing, type conformance, message writer and state.
The schemas are this project's. `python -m tests.benchmarks.plain_tap --config ENV` reads its
settings from TAP_PLAIN_CAMPUSGROUPS_API_URL and similar environment variables.
"""

from __future__ import annotations

import json
import sys
import time
import typing as t
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from importlib import resources

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.pagination import BaseAPIPaginator
from singer_sdk.streams import RESTStream

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    import requests
    from singer_sdk.helpers.types import Auth
    from singer_sdk.streams.rest import HTTPRequest, PageContext

POLL_SECONDS: t.Final = 1.0
PAGE_SIZE: t.Final = 999


@dataclass(frozen=True)
class Page:
    """The next page of an export.

    Attributes:
        query_id: ID of the export.
        token: Token of the page.
        polls: Number of polls, because the SDK rejects the same page twice in a row.
    """

    query_id: str
    token: str | None = None
    polls: int = 0


class ExportPaginator(BaseAPIPaginator[Page | None]):
    """Submits an export, polls until it has run, and follows the page tokens."""

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        return True

    @override
    def get_next(self, response: requests.Response) -> Page | None:
        page = self.current_value
        if page is None:
            return Page(response.json()["queryId"])
        if response.status_code != HTTPStatus.OK:
            time.sleep(POLL_SECONDS)
            return replace(page, polls=page.polls + 1)
        # Like the SDK's JSONPathPaginator, this decodes the response a second time.
        token = response.json().get("NextToken")
        return Page(page.query_id, token) if token else None


class ExportStream(RESTStream[Page | None]):
    """A stream of the Data Export API."""

    primary_keys: t.ClassVar[Sequence[str]] = ("id",)
    replication_key = "updatedOn"

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    @override
    def records_jsonpath(self) -> str:
        return "$.Results[*]"

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"X-CG-School": self.config["school_code"]}

    @property
    @override
    def authenticator(self) -> Auth:
        return APIKeyAuthenticator(key="X-CG-API-Secret", value=self.config["api_secret"])

    @override
    def get_new_paginator(self) -> ExportPaginator:
        return ExportPaginator(None)

    @override
    def get_http_request(self, *, page: PageContext[Page | None]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        token = page.next_page_token
        if token is None:
            start = self.get_starting_timestamp(page.stream_context)
            request.method = "POST"
            request.params = {
                "updatedStart": f"{start or datetime(2000, 1, 1, tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}",
                "updatedEnd": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            }
        else:
            request.params = {"queryId": token.query_id, "token": token.token, "size": PAGE_SIZE}
        return request


EXCLUDED = {
    *("stores.json", "store_products.json"),
    *("announcements.json", "announcement_recipients.json"),
}
"""Schemas of streams that this project's tap does not have by default."""


class PlainTap(Tap):
    """A tap for the CampusGroups Data Export API."""

    name = "tap-plain-campusgroups"
    config_jsonschema: t.ClassVar[dict[str, t.Any]] = th.PropertiesList(
        th.Property("api_url", th.StringType(), required=True),
        th.Property("api_secret", th.StringType(), required=True, secret=True),
        th.Property("school_code", th.StringType(), required=True),
    ).to_dict()

    @override
    def discover_streams(self) -> list[ExportStream]:
        files = resources.files("tap_campusgroups.schemas").iterdir()
        return [
            ExportStream(
                self,
                name=(name := file.name.removesuffix(".json")),
                schema=json.loads(file.read_text(encoding="utf-8")),
                path=f"/{name}",
            )
            for file in files
            if file.name.endswith(".json") and file.name not in EXCLUDED
        ]


if __name__ == "__main__":
    PlainTap.cli()
