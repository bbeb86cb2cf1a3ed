"""Which settings are valid, and the one line that an invalid one gets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from traceback import format_exception
from typing import Any

import pytest

from tap_campusgroups.config import CONFIG, EARLIEST, Settings
from tap_campusgroups.exceptions import SettingsError
from tap_campusgroups.tap import TapCampusGroups
from tests.support.leaks import leaks_in, texts_of

SECRET = "s3cr3t-sentinel"  # noqa: S105 - not a real one
NOW = datetime(2025, 1, 1, tzinfo=UTC)
VALID: dict[str, Any] = {"api_secret": SECRET, "school_code": "readyeducation"}


def test_settings_without_options_have_the_defaults() -> None:
    settings = Settings.from_config(VALID, NOW)
    assert settings.api_url == "https://readyeducation.service.campusgroups.com/data/v1"
    assert settings.start_date == EARLIEST
    assert settings.end_date is None
    assert settings.page_size == 999
    assert settings.lookback == timedelta(hours=48)
    assert settings.poll_interval_max == 30
    assert settings.export_timeout == 1800
    assert settings.request_timeout == 60
    assert settings.user_agent.startswith("tap-campusgroups/")
    assert SECRET not in repr(settings)


def test_settings_with_null_have_the_defaults() -> None:
    nulls = dict.fromkeys(set(CONFIG["properties"]) - set(VALID))
    assert Settings.from_config(VALID | nulls, NOW) == Settings.from_config(VALID, NOW)


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("2024-09-01", datetime(2024, 9, 1, tzinfo=UTC)),
        ("2024-09-01T00:00:00Z", datetime(2024, 9, 1, tzinfo=UTC)),
        ("2024-09-01T02:00:00+02:00", datetime(2024, 9, 1, tzinfo=UTC)),
    ],
)
def test_date_in_any_form_is_converted_to_utc(text: str, timestamp: datetime) -> None:
    settings = Settings.from_config(VALID | {"start_date": text, "end_date": text}, NOW)
    assert (settings.start_date, settings.end_date) == (timestamp, timestamp)


@pytest.mark.parametrize(
    "url",
    ["https://eu.example.org/v1/", "http://127.0.0.1:80/x", "http://localhost", "http://[::1]:5"],
)
def test_api_url_with_https_or_loopback_is_accepted(url: str) -> None:
    assert Settings.from_config(VALID | {"api_url": url}, NOW).api_url == url.rstrip("/")


NOT_A_HEADER_VALUE = "is not a valid header value: remove line breaks, "
NOT_A_DATE = "is not a valid date; use 2024-09-01 or 2024-09-01T00:00:00Z."
NOT_A_URL = "api_url is not a valid URL: use https://host/path, without a user, a password, a query"

INVALID_URLS = [
    "http://example.org/data/v1",
    "http://127.0.0.1.example.org/",
    "http://127.999.0.1/",
    "example.org",
    "https://",
    "https://[::1/",
    "https://example.org:port/",
    "https://example.org:65536/",
    "https://[::1:2:3:4:5:6:7:8:9]/",
    "https://user:sentinel@example.org/",
    f"https://example.org/?key={SECRET}",
    f"https://example.org/#{SECRET}",
    "https://example.org/a b",
    "https://exam ple.org",
    "https://.example.org",
    "https://*.example.org",
    "https://example..org",
    "https://example.org\n",
    f"https://{'a' * 64}.org",
]

FLATTENING = {"flattening_enabled": True, "flattening_max_depth": 1}

INVALID: list[tuple[dict[str, Any], str]] = [
    ({"api_secret": None}, "api_secret must be non-empty text."),
    ({"api_secret": ""}, "api_secret must be non-empty text."),
    ({"api_secret": [SECRET]}, "api_secret must be non-empty text."),
    ({"api_secret": {"is": SECRET}}, "api_secret must be non-empty text."),
    ({"api_secret": f"{SECRET}\n"}, f"api_secret {NOT_A_HEADER_VALUE}"),
    ({"api_secret": f" {SECRET}"}, f"api_secret {NOT_A_HEADER_VALUE}"),
    ({"api_secret": f"{SECRET}é"}, f"api_secret {NOT_A_HEADER_VALUE}"),
    ({"school_code": ""}, "school_code must be non-empty text."),
    ({"school_code": "a.b/c"}, "school_code is invalid: use only letters, digits and hyphens."),
    ({"school_code": f"{SECRET}!"}, "school_code is invalid: "),
    ({"start_date": "yesterday"}, f'start_date "yesterday" {NOT_A_DATE}'),
    ({"start_date": "two\nlines"}, rf'start_date "two\nlines" {NOT_A_DATE}'),
    ({"start_date": 2024}, "start_date must be text."),
    ({"end_date": "2024-13-01"}, f'end_date "2024-13-01" {NOT_A_DATE}'),
    ({"start_date": "0202-09-01"}, 'start_date "0202-09-01" is before 1900; correct the year.'),
    ({"end_date": "1024-09-01"}, 'end_date "1024-09-01" is before 1900; correct the year.'),
    ({"start_date": "2999-01-01"}, "start_date is in the future, so nothing would be read; "),
    (
        {"start_date": "2024-02-01", "end_date": "2024-01-01"},
        "end_date must not be before start_date.",
    ),
    ({"api_version": "2"}, 'api_version must be "1.0" or "1.1".'),
    ({"api_version": 1.1}, 'Invalid settings: api_version must be "1.0" or "1.1".'),
    ({"unknown_fields": SECRET}, 'unknown_fields must be "capture", "ignore" or "fail".'),
    ({"nested_values": "json"}, 'nested_values must be "native" or "text".'),
    ({"decimals": True}, 'decimals must be "number" or "text".'),
    ({"time_zone": ""}, "time_zone must be non-empty text."),
    *(
        ({"time_zone": name}, "time_zone is not a known time zone; use an IANA name, such as Am")
        for name in ("Mars/Base", "America", "../zoneinfo/UTC", "/UTC", "+05:00", "a\nb", "x" * 999)
    ),
    ({"page_size": 1000}, "page_size must be an integer from 1 to 999."),
    ({"page_size": 10.5}, "page_size must be an integer from 1 to 999."),
    ({"page_size": True}, "page_size must be an integer from 1 to 999."),
    ({"lookback_hours": -1}, "lookback_hours must be an integer from 0 to 8784."),
    ({"poll_interval_max_seconds": 0}, "poll_interval_max_seconds must be an integer from 1"),
    ({"export_timeout_minutes": 0}, "export_timeout_minutes must be an integer from 1"),
    ({"request_timeout_seconds": 0}, "request_timeout_seconds must be an integer from 1"),
    ({"user_agent": "two\nlines"}, f"user_agent {NOT_A_HEADER_VALUE}"),
    *(({"api_url": url}, NOT_A_URL) for url in INVALID_URLS),
    ({"api_secretx": SECRET}, "Invalid settings: api_secretx is not a known setting."),
    ({"two\nlines": SECRET}, r"'two\nlines' is not a known setting."),
    ({"batch_config": {}}, "batch_config is not a known setting."),
    ({"stream_map_config": [SECRET]}, "stream_map_config must be an object."),
    (
        {"stream_map_config": {"pseudonym_key": SECRET}},
        "stream_map_config.pseudonym_key must be text of at least 16 characters; check that its",
    ),
    ({"flattening_enabled": SECRET}, "flattening_enabled must be a boolean."),
    ({"flattening_enabled": True}, "flattening_max_depth must be 0 or more if flattening is en"),
    (FLATTENING | {"flattening_max_depth": -1}, "flattening_max_depth must be 0 or more if flatt"),
    (FLATTENING | {"flattening_max_key_length": 8}, "flattening_max_key_length must be 10 or more"),
    (FLATTENING | {"flattening_max_key_length": 12}, "two fields of a stream get the same column"),
]


@pytest.mark.parametrize(("change", "problem"), INVALID, ids=repr)
def test_invalid_setting_is_one_line_without_secrets(
    caplog: pytest.LogCaptureFixture, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        TapCampusGroups(config=VALID | change)
    line = str(caught.value)
    assert problem in line
    assert line.startswith("Invalid settings: ")
    assert "\n" not in line
    assert leaks_in([*texts_of(caught.value), caplog.text]) == []


def test_several_invalid_settings_are_one_line() -> None:
    with pytest.raises(SettingsError) as caught:
        TapCampusGroups(config={"page_size": 1000, "api_version": 1.1, "api_secret": SECRET})
    assert str(caught.value) == (
        'Invalid settings: school_code is required; api_version must be "1.0" or "1.1"; page_size '
        "must be an integer from 1 to 999."
    )
    invalid = {"start_date": "x", "school_code": "y z", "api_url": "ftp://a"}
    with pytest.raises(SettingsError, match=r"start_date .*; school_code is .*; api_url is not"):
        TapCampusGroups(config=VALID | invalid)


def test_discovery_without_settings_finds_streams() -> None:
    with pytest.raises(SettingsError, match="api_secret is required; school_code is required"):
        TapCampusGroups(config={})
    assert TapCampusGroups(config={}, validate_config=False).streams


def test_invalid_setting_is_reported_before_invalid_stream_map() -> None:
    with pytest.raises(SettingsError, match="school_code"):
        TapCampusGroups(config=VALID | {"school_code": "a b", "stream_maps": {"tags": {"x": "("}}})


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PAGE_SIZE", f"{SECRET}9", "must be an integer from 1 to 999"),
        ("FLATTENING_MAX_DEPTH", SECRET, "must be an integer"),
        ("STREAM_MAPS", f"{{{SECRET}", "must be an object"),
    ],
)
def test_variable_that_cannot_be_converted_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"TAP_CAMPUSGROUPS_{variable}", value)
    with pytest.raises(SettingsError) as caught:
        TapCampusGroups(config=dict(VALID), parse_env_config=True)
    assert str(caught.value) == f"Invalid settings: TAP_CAMPUSGROUPS_{variable} {problem}."
    assert leaks_in(format_exception(caught.value)) == []


def test_every_setting_has_a_title_and_a_description_with_its_default() -> None:
    for name, definition in CONFIG["properties"].items():
        assert definition["title"], name
        assert definition["description"].endswith("."), name
        if "default" in definition:
            assert f"default {definition['default']})" in definition["description"], name
