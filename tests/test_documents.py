"""The documents say what the tap does: settings, streams and capabilities, each in every place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities

from tap_campusgroups import retries
from tap_campusgroups.settings import CONFIG, ApiVersion
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.tap import TapCampusGroups

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXTRACTOR: dict[str, Any] = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))[
    "plugins"
]["extractors"][0]
KINDS = {"string": "string", "integer": "integer", "boolean": "boolean", "object": "object"}


def properties_of_the_tap() -> dict[str, Any]:
    """List the settings as `--about` does, the SDK's own included."""
    TapCampusGroups.append_builtin_config(TapCampusGroups.config_jsonschema)
    properties: dict[str, Any] = TapCampusGroups.config_jsonschema["properties"]
    return properties


def table(heading: str) -> list[list[str]]:
    """Read the rows of the README's first table under a heading."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_meltano_yml_has_the_tap_s_settings() -> None:
    settings = {setting["name"]: setting for setting in EXTRACTOR["settings"]}
    properties = properties_of_the_tap()
    assert list(settings) == list(properties)
    for name, definition in properties.items():
        setting = settings[name]
        choices = [choice for choice in definition.get("enum", []) if choice is not None]
        assert setting["kind"] == ("options" if choices else KINDS[definition["type"][0]]), name
        assert [option["value"] for option in setting.get("options", [])] == choices, name
        assert setting.get("value") == definition.get("default"), name
        assert bool(setting.get("sensitive")) == bool(definition.get("secret")), name
        assert setting["label"] == definition["title"], name
        assert setting["description"], name
        if name in CONFIG["properties"]:
            assert setting["description"] == definition["description"], name


def test_meltano_yml_has_the_tap_s_capabilities_and_required_settings() -> None:
    assert EXTRACTOR["capabilities"] == [c.value for c in TapCampusGroups.capabilities]
    assert EXTRACTOR["settings_group_validation"] == [CONFIG["required"]]
    assert EXTRACTOR["namespace"] == "tap_campusgroups"


def test_no_batch_and_no_activate_version() -> None:
    """BATCH would go past stream maps, and so past masking."""
    refused = {PluginCapabilities.BATCH, TapCapabilities.ACTIVATE_VERSION}
    assert not refused & set(TapCampusGroups.capabilities)
    assert "batch_config" not in properties_of_the_tap()


def test_env_example_has_every_setting_with_its_default() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^(#?)TAP_CAMPUSGROUPS_([A-Z_]+)=(.*)$", example, re.MULTILINE)
    assert [name.lower() for _, name, _ in lines] == list(CONFIG["properties"])
    for comment, name, value in lines:
        definition = CONFIG["properties"][name.lower()]
        assert bool(comment) == (name.lower() not in CONFIG["required"]), name
        if "default" in definition:
            assert value == str(definition["default"]), name
        if definition.get("secret"):
            assert value == "", name


def test_the_readme_s_settings() -> None:
    rows = table("Settings")
    assert [row[0] for row in rows] == [f"`{name}`" for name in CONFIG["properties"]]
    for (name, default, _), definition in zip(rows, CONFIG["properties"].values(), strict=True):
        if name.strip("`") in CONFIG["required"]:
            assert default == "required", name
        elif "default" in definition:
            assert default == f"{definition['default']}", name
        else:
            assert default in {"", "from `school_code`"}, name


def test_the_readme_s_streams() -> None:
    rows = table("Streams")
    assert [(row[0], row[1]) for row in rows] == [
        (f"`{stream.name}`", (stream.__doc__ or "").strip()) for stream in STREAMS[ApiVersion.V1_1]
    ]


@pytest.mark.parametrize(
    "fact",
    [
        f"{retries.MAX_TRIES} tries",
        f"{retries.LONGEST_RETRY_AFTER / 60:.0f} minutes",
        "exit code 1",
        "make demo",
        "make test",
    ],
)
def test_the_readme_s_numbers(fact: str) -> None:
    assert fact in README


def test_nothing_names_a_file_of_the_readme_that_is_not_there() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
