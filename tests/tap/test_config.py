"""What settings are taken, and the one line that a bad one gets."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tap_campusgroups.config import CONFIG, EARLIEST, Settings, environment_problems
from tap_campusgroups.exceptions import SettingsError
from tap_campusgroups.tap import TapCampusGroups

SECRET = "s3cr3t-sentinel"  # noqa: S105 - nobody's
GOOD: dict[str, Any] = {"api_secret": SECRET, "school_code": "readyeducation"}


def test_defaults() -> None:
    settings = Settings.from_config(GOOD)
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


def test_null_means_the_default() -> None:
    nothing = dict.fromkeys(set(CONFIG["properties"]) - set(GOOD))
    assert Settings.from_config(GOOD | nothing) == Settings.from_config(GOOD)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-09-01", datetime(2024, 9, 1, tzinfo=UTC)),
        ("2024-09-01T00:00:00Z", datetime(2024, 9, 1, tzinfo=UTC)),
        ("2024-09-01T02:00:00+02:00", datetime(2024, 9, 1, tzinfo=UTC)),
    ],
)
def test_forms_of_a_date(text: str, instant: datetime) -> None:
    settings = Settings.from_config(GOOD | {"start_date": text, "end_date": text})
    assert (settings.start_date, settings.end_date) == (instant, instant)


@pytest.mark.parametrize(
    "url",
    [
        "https://eu.example.org/data/v1/",
        "http://127.0.0.1:8080/data/v1",
        "http://localhost/x",
        "http://[::1]:5/x",
    ],
)
def test_good_urls(url: str) -> None:
    assert Settings.from_config(GOOD | {"api_url": url}).api_url == url.rstrip("/")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"api_secret": None}, "api_secret must be text and not empty"),
    ({"api_secret": ""}, "api_secret must be text and not empty"),
    ({"api_secret": 5}, "api_secret must be text and not empty"),
    ({"api_secret": f"{SECRET}\n"}, "api_secret has blanks or line breaks around it"),
    ({"api_secret": f"{SECRET}é"}, "api_secret has"),
    ({"school_code": ""}, "school_code"),
    ({"school_code": "a.b/c"}, "school_code is none; it has letters, digits and hyphens only"),
    ({"school_code": f"{SECRET}!"}, "school_code is none"),
    ({"start_date": "yesterday"}, "start_date 'yesterday' is no date; write it like 2024-09-01"),
    ({"start_date": ""}, "start_date '' is no date"),
    ({"end_date": "2024-13-01"}, "end_date '2024-13-01' is no date"),
    ({"start_date": "2024-02-01", "end_date": "2024-01-01"}, "end_date is before start_date"),
    ({"api_version": "2"}, 'api_version must be one of "1.0", "1.1".'),
    ({"api_version": 1.1}, 'Bad settings: api_version must be one of "1.0", "1.1".'),
    ({"page_size": 0}, "page_size"),
    ({"page_size": 1000}, "1000 is greater than the maximum of 999 in config['page_size']"),
    ({"page_size": "999"}, "page_size"),
    ({"page_size": 10.5}, "page_size"),
    ({"lookback_hours": -1}, "lookback_hours"),
    ({"poll_interval_max_seconds": 0}, "poll_interval_max_seconds"),
    ({"export_timeout_minutes": 0}, "export_timeout_minutes"),
    ({"request_timeout_seconds": 0}, "request_timeout_seconds"),
    ({"user_agent": "two\nlines"}, "user_agent"),
    ({"api_url": "http://example.org/data/v1"}, "api_url must be https"),
    ({"api_url": "http://127.0.0.1.example.org/"}, "api_url must be https"),
    ({"api_url": "example.org"}, "api_url is no https URL"),
    ({"api_url": "https://[::1/"}, "api_url is no URL"),
    ({"api_url": "https://example.org:port/"}, "api_url is no URL"),
    ({"api_url": "https://user:word@example.org/"}, "api_url must have neither a user"),
    ({"api_url": "https://example.org/?x=1"}, "api_url must have neither a user"),
    ({"api_secretx": SECRET}, "'api_secretx' was unexpected"),
    ({"batch_config": {}}, "'batch_config' was unexpected"),
    ({"stream_map_config": [SECRET]}, "stream_map_config is not valid"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=repr)
def test_a_bad_setting_gets_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as error:
        TapCampusGroups(config=GOOD | change)
    line = str(error.value)
    assert words in line
    assert line.startswith("Bad settings: ")
    assert "\n" not in line
    assert SECRET not in line
    assert "word@" not in line


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"start_date 'x'.*school_code is none.*api_url is no"):
        TapCampusGroups(
            config=GOOD | {"start_date": "x", "school_code": "y z", "api_url": "ftp://a"}
        )


def test_settings_without_validation_are_accepted() -> None:
    """Discovery needs no settings."""
    with pytest.raises(SettingsError, match="'api_secret' is a required property"):
        TapCampusGroups(config={})
    assert TapCampusGroups(config={}, validate_config=False).streams


def test_bad_setting_hides_secret_from_whole_traceback() -> None:
    """The SDK's own error quotes the value."""
    with pytest.raises(SettingsError) as caught:
        TapCampusGroups(config=GOOD | {"api_secret": [SECRET]})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_bad_setting_is_reported_before_bad_stream_map() -> None:
    with pytest.raises(SettingsError, match="school_code"):
        TapCampusGroups(config=GOOD | {"school_code": "a b", "stream_maps": {"tags": {"x": "("}}})


def test_a_number_in_the_environment_that_is_none() -> None:
    assert environment_problems({"TAP_CAMPUSGROUPS_PAGE_SIZE": "9x"}) == [
        "TAP_CAMPUSGROUPS_PAGE_SIZE must be a whole number"
    ]
    assert environment_problems({"TAP_CAMPUSGROUPS_PAGE_SIZE": "9", "OTHER": "x"}) == []


def test_every_setting_has_a_title_and_a_description() -> None:
    for name, definition in CONFIG["properties"].items():
        assert definition["title"], name
        assert definition["description"].endswith("."), name
