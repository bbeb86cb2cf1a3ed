"""The settings: what the tap can be told, its bounds and defaults, each in one place."""

from __future__ import annotations

import enum
import ipaddress
import re
import typing as t
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import metadata
from urllib.parse import urlsplit

from singer_sdk import typing as th

from tap_campusgroups.exceptions import SettingsError
from tap_campusgroups.records.converter import UnknownFields
from tap_campusgroups.records.values import parse_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Mapping


class OnStreamError(enum.StrEnum):
    """What to do with the other streams when one fails."""

    CONTINUE = "continue"
    ABORT = "abort"


class ApiVersion(enum.StrEnum):
    """Which of the vendor's descriptions of the API says what streams there are."""

    V1_0 = "1.0"
    """The document: 23 endpoints."""

    V1_1 = "1.1"
    """The specification: the same and four more."""


EARLIEST: t.Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Where a first run begins without `start_date`: before the service had any data."""

CONFIG: t.Final[dict[str, t.Any]] = th.PropertiesList(
    th.Property(
        "api_secret",
        th.StringType(min_length=1),
        required=True,
        secret=True,
        title="API secret",
        description="API key of the school, made in the CampusGroups admin pages.",
    ),
    th.Property(
        "school_code",
        th.StringType(min_length=1),
        required=True,
        title="School code",
        description="Code of the school: the first part of its CampusGroups service address.",
    ),
    th.Property(
        "start_date",
        th.StringType(),
        title="Start date",
        description=(
            "Oldest updatedOn to read on a stream's first run, as a date or an ISO 8601 instant "
            "(UTC unless it has an offset). Without it, everything is read."
        ),
    ),
    th.Property(
        "end_date",
        th.StringType(),
        title="End date",
        description=(
            "Newest updatedOn to read, in the forms of start_date. Without it, up to the start of "
            "the run."
        ),
    ),
    th.Property(
        "api_url",
        th.StringType(min_length=1),
        title="API URL",
        description=(
            "Base URL of the API, if not https://{school_code}.service.campusgroups.com/data/v1. "
            "Plain http is for loopback only."
        ),
    ),
    th.Property(
        "api_version",
        th.StringType(allowed_values=[choice.value for choice in ApiVersion]),
        default=ApiVersion.V1_0.value,
        title="API version",
        description=(
            "Version of the Data Export API at the school, as text: 1.0 has 23 streams, 1.1 also "
            "stores, store_products, announcements and announcement_recipients."
        ),
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=1, maximum=999),
        default=999,
        title="Page size",
        description="Rows a page, 1 to 999.",
    ),
    th.Property(
        "lookback_hours",
        th.IntegerType(minimum=0, maximum=24 * 366),
        default=48,
        title="Lookback (hours)",
        description=(
            "How far before its bookmark a run reads again, because rows reach the service's data "
            "lake late."
        ),
    ),
    th.Property(
        "export_window_days",
        th.IntegerType(minimum=1, maximum=36_600),
        title="Export window (days)",
        description=(
            "Longest range of updatedOn that one export asks for. The state is written after each, "
            "so a long backfill that is interrupted goes on from there. Without it, one export "
            "reads a stream's whole range."
        ),
    ),
    th.Property(
        "max_concurrent_exports",
        th.IntegerType(minimum=1, maximum=32),
        default=4,
        title="Concurrent exports",
        description=(
            "How many exports may be queued or running at the service at once, all streams "
            "together. With 1, each stream's export begins when the stream before it is done."
        ),
    ),
    th.Property(
        "poll_interval_max_seconds",
        th.IntegerType(minimum=1, maximum=600),
        default=30,
        title="Longest poll interval (seconds)",
        description="Longest pause between two questions whether an export has run.",
    ),
    th.Property(
        "export_timeout_minutes",
        th.IntegerType(minimum=1, maximum=24 * 60),
        default=30,
        title="Export timeout (minutes)",
        description="How long one export may be queued or running.",
    ),
    th.Property(
        "request_timeout_seconds",
        th.IntegerType(minimum=1, maximum=3600),
        default=60,
        title="Request timeout (seconds)",
        description="How long one request may stay without an answer.",
    ),
    th.Property(
        "unknown_fields",
        th.StringType(allowed_values=[choice.value for choice in UnknownFields]),
        default=UnknownFields.CAPTURE.value,
        title="Unknown fields",
        description=(
            "What to do with fields that the service sends and the schema does not have: capture "
            "them in _extra, ignore them, or fail."
        ),
    ),
    th.Property(
        "on_stream_error",
        th.StringType(allowed_values=[choice.value for choice in OnStreamError]),
        default=OnStreamError.CONTINUE.value,
        title="On stream error",
        description=(
            "Whether to continue with the other streams when one fails, or to abort. Either way "
            "the exit code is 1."
        ),
    ),
    th.Property(
        "user_agent",
        th.StringType(min_length=1),
        title="User agent",
        description="User-Agent header, if not tap-campusgroups/{version}.",
    ),
    additional_properties=False,
).to_dict()
"""JSON schema of the settings. Everything else takes titles, bounds and defaults from here."""

_DEFAULTS: t.Final[dict[str, t.Any]] = {
    name: definition["default"]
    for name, definition in CONFIG["properties"].items()
    if "default" in definition
}

SHORTEST_HASH_KEY: t.Final = 16
"""Characters of a key in `stream_map_config`, at least: a hash with a shorter one is guessed."""

_HASH_KEY = re.compile(r"(?:key|salt|pepper|secret)$", re.IGNORECASE)
_SCHOOL_CODE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def api_version(config: Mapping[str, t.Any]) -> ApiVersion:
    """Read the one setting that discovery depends on, and so is read before the others.

    Args:
        config: The tap's config, which need not be valid.

    Raises:
        SettingsError: If there is no such version.
    """
    try:
        return ApiVersion(config.get("api_version", _DEFAULTS["api_version"]))
    except ValueError:
        problem = _not_a_choice("api_version", CONFIG["properties"]["api_version"])
        raise SettingsError(bad_settings([problem])) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings, checked and in the types that the tap works with.

    Attributes:
        api_secret: Never shown, not even by `repr`.
        school_code: Sent with every request.
        api_url: Base URL without a slash at its end.
        start_date: First instant to read, aware, UTC.
        end_date: Last instant to read, aware, UTC; `None` for the start of the run.
        page_size: Rows.
        lookback: How far before the bookmark to read.
        export_window: Days that one export covers at most; `None` for a stream's whole range.
        max_concurrent_exports: Exports at the service at once, all streams together.
        poll_interval_max: Seconds.
        export_timeout: Seconds.
        request_timeout: Seconds.
        unknown_fields: What to do with fields that a schema does not have.
        on_stream_error: What to do with the other streams when one fails.
        user_agent: Header value.
    """

    api_secret: str = field(repr=False)
    school_code: str
    api_url: str
    start_date: datetime
    end_date: datetime | None
    page_size: int
    lookback: timedelta
    export_window: int | None
    max_concurrent_exports: int
    poll_interval_max: float
    export_timeout: float
    request_timeout: int
    unknown_fields: UnknownFields
    on_stream_error: OnStreamError
    user_agent: str

    @classmethod
    def from_config(cls, config: Mapping[str, t.Any]) -> Settings:
        """Check what a JSON schema cannot, and convert.

        Args:
            config: The tap's config, valid against `CONFIG`; absent or null means the default.

        Returns:
            The settings.

        Raises:
            SettingsError: If a setting makes no sense; the text names each and says what would.
        """
        config = _DEFAULTS | {key: value for key, value in config.items() if value is not None}
        problems: list[str] = []

        def instant(name: str) -> datetime | None:
            value = config.get(name)
            if value is None:
                return None
            if (parsed := parse_timestamp(value)) is None:
                problems.append(
                    f"{name} {value!r} is no date; write it like 2024-09-01 or 2024-09-01T00:00:00Z"
                )
            return parsed

        start_date, end_date = instant("start_date"), instant("end_date")
        if start_date and end_date and end_date < start_date:
            problems.append("end_date is before start_date")
        school_code = config["school_code"]
        if not _SCHOOL_CODE.fullmatch(school_code):
            # Not quoted: it might be the secret, in the wrong place.
            problems.append("school_code is none; it has letters, digits and hyphens only")
        if not _HEADER_VALUE.fullmatch(config["api_secret"]):
            problems.append(
                "api_secret has blanks or line breaks around it, or characters that no header takes"
            )
        user_agent = config.get("user_agent") or default_user_agent()
        if not _HEADER_VALUE.fullmatch(user_agent):
            problems.append("user_agent has characters that no header takes")
        api_url = (
            config.get("api_url") or f"https://{school_code}.service.campusgroups.com/data/v1"
        ).rstrip("/")
        if problem := _url_problem(api_url):
            problems.append(f"api_url {problem}")
        problems += _weak_keys(config.get("stream_map_config") or {})
        if problems:
            raise SettingsError(bad_settings(problems))
        return cls(
            api_secret=config["api_secret"],
            school_code=school_code,
            api_url=api_url,
            start_date=start_date or EARLIEST,
            end_date=end_date,
            page_size=config["page_size"],
            lookback=timedelta(hours=config["lookback_hours"]),
            export_window=config.get("export_window_days"),
            max_concurrent_exports=config["max_concurrent_exports"],
            poll_interval_max=float(config["poll_interval_max_seconds"]),
            export_timeout=60.0 * config["export_timeout_minutes"],
            request_timeout=config["request_timeout_seconds"],
            unknown_fields=UnknownFields(config["unknown_fields"]),
            on_stream_error=OnStreamError(config["on_stream_error"]),
            user_agent=user_agent,
        )


def _weak_keys(values: Mapping[str, t.Any]) -> list[str]:
    """Find the keys for hashes that are none, such as a variable that the environment lacks."""
    return [
        f"stream_map_config has a {name} that is no text of {SHORTEST_HASH_KEY} or more "
        "characters; is its environment variable set?"
        for name, value in values.items()
        if _HASH_KEY.search(name)
        and not (isinstance(value, str) and len(value) >= SHORTEST_HASH_KEY)
    ]


def bad_settings(problems: list[str]) -> str:
    """Put all that is wrong with the settings into one line."""
    return f"Bad settings: {'; '.join(problems)}."


_QUOTED_KEY = re.compile(r" in config\['(?P<key>[^']*)'\](?:\[[^\]]*\])*$")


def redact_errors(problems: list[str]) -> list[str]:
    """Take values out of the SDK's validation messages where they may be secrets.

    Args:
        problems: Messages such as `'' should be non-empty in config['api_secret']`.

    Returns:
        The messages; those about anything but a plain setting only name it.
    """
    hidden = []
    for problem in problems:
        found = _QUOTED_KEY.search(problem)
        definition = CONFIG["properties"].get(found["key"]) if found else None
        is_plain = definition is not None and not definition.get("secret")
        if found and definition and "enum" in definition:
            hidden.append(_not_a_choice(found["key"], definition))
        elif found is None or is_plain:
            hidden.append(problem)
        elif definition is None:
            hidden.append(f"{found['key']} is not valid")
        else:
            hidden.append(f"{found['key']} must be text and not empty")
    return list(dict.fromkeys(hidden))


def _not_a_choice(name: str, definition: Mapping[str, t.Any]) -> str:
    """Say what a setting may be; in quotes, for YAML makes a number of 1.1 without."""
    choices = ", ".join(f'"{choice}"' for choice in definition["enum"])
    return f"{name} must be one of {choices}"


ENVIRONMENT_PREFIX: t.Final = "TAP_CAMPUSGROUPS_"
"""What the SDK puts before a setting's name in upper case."""


def environment_problems(environment: Mapping[str, str]) -> list[str]:
    """Find the variables that hold no number where the SDK's `--config ENV` wants one.

    Args:
        environment: The process's environment.

    Returns:
        A message each; the SDK alone would only say that some text is no integer.
    """
    problems = []
    for name, definition in CONFIG["properties"].items():
        variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
        if "integer" in definition["type"] and variable in environment:
            try:
                int(environment[variable])
            except ValueError:
                problems.append(f"{variable} must be a whole number")
    return problems


@cache
def default_user_agent() -> str:
    """Make the User-Agent of this version, which is read from disk once."""
    return f"tap-campusgroups/{metadata.version('tap-campusgroups')}"


def _url_problem(url: str) -> str | None:
    """Say what is wrong with a base URL, without quoting it: it might hold a password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018 - raises on a bad port
    except ValueError:
        return "is no URL"
    if parts.scheme not in {"https", "http"} or not host:
        return "is no https URL"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "must have neither a user, a query nor a fragment"
    if parts.scheme == "http" and not _is_loopback(host):
        return "must be https: plain http would show the secret on the network"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
