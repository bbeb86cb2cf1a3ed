"""The documents say what the tap does: settings, streams and capabilities, each in every place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_campusgroups.config import CONFIG, ApiVersion
from tap_campusgroups.exports import retry
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.tap import TapCampusGroups
from tests.support.fake_hub import read_definition

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXTRACTOR: dict[str, Any] = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))[
    "plugins"
]["extractors"][0]
DEFINITION = read_definition()


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


def test_meltano_yml_has_the_settings_of_the_definition_for_the_hub() -> None:
    assert [setting["name"] for setting in EXTRACTOR["settings"]] == list(properties_of_the_tap())
    described = {setting["name"]: setting for setting in DEFINITION["settings"]}
    for setting in EXTRACTOR["settings"]:
        name = setting["name"]
        assert setting["description"], name
        # The SDK's settings are described in the project's own words.
        own = {} if name in CONFIG["properties"] else {"description": setting["description"]}
        assert setting == {**described[name], **own}, name


def test_meltano_yml_has_the_rest_of_the_definition_for_the_hub() -> None:
    for key in ("name", "namespace", "label", "executable", "settings_group_validation"):
        assert EXTRACTOR[key] == DEFINITION[key], key
    assert EXTRACTOR["capabilities"] == [c.value for c in TapCampusGroups.capabilities]
    assert sorted(EXTRACTOR["capabilities"]) == DEFINITION["capabilities"]


def test_no_batch_and_no_activate_version() -> None:
    """BATCH would go past stream maps, and so past masking."""
    advertised = {capability.value for capability in TapCampusGroups.capabilities}
    assert not {"batch", "activate-version"} & advertised
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
        f"{retry.RetryPolicy().max_attempts} tries",
        f"{retry.MAX_RETRY_AFTER / 60:.0f} minutes",
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
