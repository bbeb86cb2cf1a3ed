"""The endpoint of one stream: the requests of its exports."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

import requests
from requests.utils import default_headers

from tap_campusgroups.exports.pagination import Submit
from tap_campusgroups.exports.window import format_bound

if t.TYPE_CHECKING:
    from tap_campusgroups.exports.pagination import Step


@dataclass(eq=False)
class Endpoint:
    """Prepares the requests of one stream; used by several workers at a time.

    Attributes:
        url: Base URL of the API, without a trailing slash.
        path: Path of the endpoint; `use_alias` replaces it by `path_alias`.
    """

    url: str
    path: str
    path_alias: str | None
    page_size: int
    school_code: str
    user_agent: str
    api_secret: str = field(repr=False)

    def request(self, step: Step) -> requests.PreparedRequest:
        """Prepare the request of a step (document, "Header parameters" and "Request events")."""
        headers = {
            **default_headers(),
            "Accept": "application/json",
            "User-Agent": self.user_agent,
            "X-CG-API-Secret": self.api_secret,
            "X-CG-School": self.school_code,
        }
        if isinstance(step, Submit):
            start, end = format_bound(step.window.start), format_bound(step.window.end)
            method, params = "POST", {"updatedStart": start, "updatedEnd": end}
        else:
            method, params = "GET", {"queryId": step.query_id, "size": str(self.page_size)}
            if step.token is not None:
                params["token"] = step.token
        # Prepared without a session, which would add the credentials of a .netrc file.
        return requests.Request(method, self.url + self.path, headers, params=params).prepare()

    def use_alias(self, unknown_path: str) -> bool:
        """Use the other spelling from now on, after a 404; return false if that was the other."""
        if self.path_alias in {None, unknown_path}:
            return False
        self.path = self.path_alias or unknown_path
        return True
