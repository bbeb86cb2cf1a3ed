"""The settings: schema, defaults, validation and the typed form that the tap uses."""

from __future__ import annotations

import enum
import os
import re
import typing as t
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import metadata, resources
from zoneinfo import ZoneInfo

from jsonschema import Draft202012Validator
from urllib3.util import parse_url

from tap_campusgroups.exceptions import SettingsError
from tap_campusgroups.records.converter import UnknownFields
from tap_campusgroups.records.json_codec import decode_value
from tap_campusgroups.records.values import ValueFormat, parse_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema import ValidationError


class ApiVersion(enum.StrEnum):
    """Version of the API: the vendor's document, or its later OpenAPI specification."""

    V1_0 = "1.0"
    V1_1 = "1.1"


EARLIEST: t.Final = datetime(1900, 1, 1, tzinfo=UTC)
"""Start of a first run without `start_date`: older than any data, placeholder dates included."""


def read_schema(name: str) -> dict[str, t.Any]:
    """Read one of the JSON schemas of settings and input files."""
    file = resources.files(__package__) / f"{name}.schema.json"
    return t.cast("dict[str, t.Any]", decode_value(file.read_bytes()))


CONFIG: t.Final = read_schema("config")
"""JSON schema of the settings, the single source of titles, descriptions, bounds and defaults."""

_DEFAULTS: t.Final[dict[str, t.Any]] = {
    name: one["default"] for name, one in CONFIG["properties"].items() if "default" in one
}

_MIN_KEY_LENGTH: t.Final = 10  # flattening would rename `updatedOn`
_HASH_KEYS: t.Final = ("pseudonym_key", "salt")  # in the masking preset and in docs/masking.md
_MIN_HASH_KEY_LENGTH: t.Final = 16  # hashes with a shorter key can be guessed

_TYPE_NAMES: t.Final = {
    "boolean": "a boolean",
    "string": "text",
    "integer": "an integer",
    "object": "an object",
}

_USER_AGENT = f"tap-campusgroups/{metadata.version('tap-campusgroups')}"
_SCHOOL_CODE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_LOOPBACK = r"localhost|127(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}|\[::1\]"
_API_URL = re.compile(
    rf"(?:https://(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9a-f:.]+\])|http://(?:{_LOOPBACK}))"
    r"(?::\d{1,5})?(?:/[\w.~%!$&'()*+,;=:@/-]*)?",
    re.ASCII | re.IGNORECASE,
)
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings, validated and converted.

    Attributes:
        api_url: Base URL without a trailing slash.
        end_date: `None` for the start of the run.
        export_window: In days; `None` for a stream's whole range.
        poll_interval_max, export_timeout, request_timeout: In seconds.
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
    value_format: ValueFormat
    continues_after_failure: bool
    user_agent: str

    @classmethod
    def from_config(cls, config: Mapping[str, t.Any], started: datetime) -> Settings:
        """Convert a config that is valid against `CONFIG`; absent or null means the default.

        `started` is the start of the run, which `start_date` must not follow.
        """
        config = _DEFAULTS | {key: value for key, value in config.items() if value is not None}
        if problems := list(_problems(config, started)):
            raise invalid_settings(problems)
        school_code = config["school_code"]
        default_url = f"https://{school_code}.service.campusgroups.com/data/v1"
        return cls(
            api_secret=config["api_secret"],
            school_code=school_code,
            api_url=config.get("api_url", default_url).rstrip("/"),
            start_date=parse_timestamp(config.get("start_date")) or EARLIEST,
            end_date=parse_timestamp(config.get("end_date")),
            page_size=config["page_size"],
            lookback=timedelta(hours=config["lookback_hours"]),
            export_window=config.get("export_window_days"),
            max_concurrent_exports=config["max_concurrent_exports"],
            poll_interval_max=float(config["poll_interval_max_seconds"]),
            export_timeout=60.0 * config["export_timeout_minutes"],
            request_timeout=config["request_timeout_seconds"],
            unknown_fields=UnknownFields(config["unknown_fields"]),
            value_format=value_format(config),
            continues_after_failure=config["on_stream_error"] == "continue",
            user_agent=config.get("user_agent", _USER_AGENT),
        )


def api_version(config: Mapping[str, t.Any]) -> ApiVersion:
    """Return the setting that discovery needs, also from a config that is not validated."""
    version = config.get("api_version", _DEFAULTS["api_version"])
    if version not in list(ApiVersion):
        expected = _expectation(CONFIG["properties"]["api_version"])
        raise invalid_settings([f"api_version must be {expected}"])
    return ApiVersion(version)


def value_format(config: Mapping[str, t.Any]) -> ValueFormat:
    """Return how values are written, also from a config that is not validated."""
    return ValueFormat(
        nested_as_text=config.get("nested_values") == "text",
        decimals_as_text=config.get("decimals") == "text",
        time_zone=_time_zone(config.get("time_zone")),
    )


def _time_zone(name: str | None) -> ZoneInfo | None:
    """Return a time zone, or `None` if it does not exist."""
    try:
        return None if name is None else ZoneInfo(name)
    except (LookupError, OSError, ValueError):  # for example for a folder of time zones
        return None


def invalid_settings(problems: Iterable[str]) -> SettingsError:
    """Return the error for some problems, which quote no value: it might be the secret."""
    return SettingsError(f"Invalid settings: {'; '.join(dict.fromkeys(problems))}.")


def schema_problems(config: Mapping[str, t.Any], schema: Mapping[str, t.Any]) -> Iterator[str]:
    """Validate a config by its JSON schema; the SDK's own messages quote the invalid values."""
    settings = schema["properties"]
    yield from (f"{name} is required" for name in schema["required"] if name not in config)
    yield from (f"{quoted(name)} is not a known setting" for name in config if name not in settings)
    for error in Draft202012Validator(schema).iter_errors(dict(config)):
        match list(error.absolute_path):
            case [name]:
                yield f"{name} must be {_expectation(settings[name])}"
            case [_, *_]:
                yield f"{json_path(error)} is invalid"


def environment_problems(schema: Mapping[str, t.Any]) -> Iterator[str]:
    """Find the environment variables that the SDK's `--config ENV` cannot convert."""
    for name, definition in schema["properties"].items():
        variable, kind = f"TAP_CAMPUSGROUPS_{name.upper()}", definition["type"][0]
        if variable in os.environ and kind in {"integer", "object"}:
            try:
                (int if kind == "integer" else decode_value)(os.environ[variable])
            except ValueError:
                yield f"{variable} must be {_expectation(definition)}"


def _problems(config: Mapping[str, t.Any], started: datetime) -> Iterator[str]:
    """Find what a JSON schema cannot."""
    yield from _date_problems(config, started)
    yield from _service_problems(config)
    yield from _mapping_problems(config)
    if "time_zone" in config and _time_zone(config["time_zone"]) is None:
        yield (
            "time_zone is not a known time zone; use an IANA name, such as America/New_York (if "
            "this system has no time zones, install the Python package tzdata)"
        )


def _date_problems(config: Mapping[str, t.Any], started: datetime) -> Iterator[str]:
    start_date = parse_timestamp(config.get("start_date"))
    end_date = parse_timestamp(config.get("end_date"))
    for name, date in (("start_date", start_date), ("end_date", end_date)):
        value = ascii(config.get(name))[1:-1]
        if name in config and date is None:
            yield f'{name} "{value}" is not a valid date; use 2024-09-01 or 2024-09-01T00:00:00Z'
        elif date and date < EARLIEST:  # windows from a mistyped year would be endless
            yield f'{name} "{value}" is before {EARLIEST.year}; correct the year'
    if start_date and end_date and end_date < start_date:
        yield "end_date must not be before start_date"
    if start_date and start_date > started:
        yield (
            "start_date is in the future, so nothing would be read; correct it, or the clock of "
            f"this machine ({started:%Y-%m-%d})"
        )


def _service_problems(config: Mapping[str, t.Any]) -> Iterator[str]:
    if not _SCHOOL_CODE.fullmatch(config["school_code"]):
        yield "school_code is invalid: use only letters, digits and hyphens"
    for name in ("api_secret", "user_agent"):
        if name in config and not _HEADER_VALUE.fullmatch(config[name]):
            yield (
                f"{name} is not a valid header value: remove line breaks, leading and trailing "
                "spaces, and characters outside ASCII"
            )
    if "api_url" in config and not _is_valid_url(config["api_url"]):
        yield (
            "api_url is not a valid URL: use https://host/path, without a user, a password, a "
            "query or a fragment (plain http would send the secret unencrypted)"
        )


def _is_valid_url(url: str) -> bool:
    try:
        parse_url(url)  # raises if a port is too high or an IPv6 address is wrong
    except ValueError:
        return False
    return bool(_API_URL.fullmatch(url))


def _mapping_problems(config: Mapping[str, t.Any]) -> Iterator[str]:
    if config.get("flattening_enabled") and config.get("flattening_max_depth", -1) < 0:
        yield "flattening_max_depth must be 0 or more if flattening is enabled"
    if config.get("flattening_max_key_length", _MIN_KEY_LENGTH) < _MIN_KEY_LENGTH:
        yield f"flattening_max_key_length must be {_MIN_KEY_LENGTH} or more"
    values = config.get("stream_map_config") or {}
    for name in _HASH_KEYS:
        is_long = isinstance(values.get(name), str) and len(values[name]) >= _MIN_HASH_KEY_LENGTH
        if name in values and not is_long:
            yield (
                f"stream_map_config.{name} must be text of at least {_MIN_HASH_KEY_LENGTH} "
                "characters; check that its environment variable is set"
            )


def _expectation(definition: Mapping[str, t.Any]) -> str:
    """Describe a valid value of a setting, for example `an integer from 1 to 999`."""
    if "enum" in definition:  # in quotes, because YAML reads 1.1 as a number
        *others, last = (f'"{choice}"' for choice in definition["enum"] if choice is not None)
        return f"{', '.join(others)} or {last}"
    kind = " or ".join(_TYPE_NAMES[name] for name in definition["type"] if name != "null")
    if "minimum" in definition:
        return f"{kind} from {definition['minimum']} to {definition['maximum']}"
    return f"non-empty {kind}" if "minLength" in definition else kind


def json_path(error: ValidationError) -> str:
    """Return the path of an invalid value on one line, without `$.`."""
    return error.json_path.removeprefix("$.").encode("unicode_escape").decode()


def quoted(name: str) -> str:
    """Quote a name that is not an identifier, so that a message stays on one line."""
    return name if name.isidentifier() else ascii(name)


def quoted_names(names: Iterable[str]) -> str:
    """Quote some names, sorted, for a message."""
    return ", ".join(map(quoted, sorted(names)))
