"""Settings, streams and capabilities are the same in the code and in all documents."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tap_campusgroups import summary
from tap_campusgroups.config import CONFIG, ApiVersion
from tap_campusgroups.exports import retry, scheduler
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.tap import TapCampusGroups
from tests.support import documents
from tests.support.fake_hub import read_definition

README = documents.read("README.md")
EXTRACTOR: dict[str, Any] = yaml.safe_load(documents.read("meltano.yml"))["plugins"]["extractors"][
    0
]
DEFINITION = read_definition()


def properties_of_the_tap() -> dict[str, Any]:
    """Return the settings that `--about` prints, including those of the SDK."""
    TapCampusGroups.append_builtin_config(TapCampusGroups.config_jsonschema)
    properties: dict[str, Any] = TapCampusGroups.config_jsonschema["properties"]
    return properties


def table(heading: str) -> list[list[str]]:
    """Return the rows of the README's table under a heading."""
    lines = documents.section("README.md", heading).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_meltano_yml_settings_equal_the_hub_definition() -> None:
    assert [setting["name"] for setting in EXTRACTOR["settings"]] == list(properties_of_the_tap())
    described = {setting["name"]: setting for setting in DEFINITION["settings"]}
    for setting in EXTRACTOR["settings"]:
        name = setting["name"]
        assert setting["description"], name
        # The project has its own descriptions of the SDK's settings.
        own = {} if name in CONFIG["properties"] else {"description": setting["description"]}
        assert setting == {**described[name], **own}, name


def test_meltano_yml_plugin_equals_the_hub_definition() -> None:
    for key in ("name", "namespace", "label", "executable", "settings_group_validation"):
        assert EXTRACTOR[key] == DEFINITION[key], key
    assert EXTRACTOR["capabilities"] == [c.value for c in TapCampusGroups.capabilities]
    assert sorted(EXTRACTOR["capabilities"]) == DEFINITION["capabilities"]


def test_tap_has_neither_batch_nor_activate_version() -> None:
    """BATCH messages would bypass stream maps, and so masking."""
    advertised = {capability.value for capability in TapCampusGroups.capabilities}
    assert not {"batch", "activate-version"} & advertised
    assert "batch_config" not in properties_of_the_tap()


def test_env_example_has_every_setting_with_its_default() -> None:
    example = documents.read(".env.example")
    lines = re.findall(r"^(#?)TAP_CAMPUSGROUPS_([A-Z_]+)=(.*)$", example, re.MULTILINE)
    assert [name.lower() for _, name, _ in lines] == list(CONFIG["properties"])
    for comment, name, value in lines:
        definition = CONFIG["properties"][name.lower()]
        assert bool(comment) == (name.lower() not in CONFIG["required"]), name
        if "default" in definition:
            assert value == str(definition["default"]), name
        if definition.get("secret"):
            assert value == "", name


def test_readme_settings_equal_the_code() -> None:
    rows = table("Settings")
    assert [row[0] for row in rows] == [f"`{name}`" for name in CONFIG["properties"]]
    for (name, default, _), definition in zip(rows, CONFIG["properties"].values(), strict=True):
        if name.strip("`") in CONFIG["required"]:
            assert default == "required", name
        elif "default" in definition:
            assert default == f"{definition['default']}", name
        else:
            assert default in {"", "from `school_code`"}, name


def test_readme_bounds_equal_the_code() -> None:
    """A description with "from a to b" has the setting's bounds."""
    properties = CONFIG["properties"]
    for name, _, meaning in table("Settings"):
        if bounds := re.search(r"from (\d+) to (\d+)", meaning):
            definition = properties[name.strip("`")]
            assert (int(bounds[1]), int(bounds[2])) == (
                definition["minimum"],
                definition["maximum"],
            ), name


def test_readme_streams_equal_the_code() -> None:
    rows = table("Streams")
    assert [(row[0], row[1]) for row in rows] == [
        (f"`{stream.name}`", stream.description) for stream in STREAMS[ApiVersion.V1_1]
    ]


def test_readme_summary_has_the_columns_of_the_code() -> None:
    lines = documents.section("README.md", "What a run prints").splitlines()
    (header,) = (line for line in lines if line.startswith("  stream "))
    assert header.split() == " ".join(summary._COLUMNS).split()  # noqa: SLF001
    described = [row[0].strip("`") for row in table("What a run prints")]
    assert described == list(summary._COLUMNS[1:])  # noqa: SLF001


def test_readme_prose_has_at_most_1500_words() -> None:
    text = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("|"))
    words = re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text).split()
    assert 500 < len(words) <= 1500


@pytest.mark.parametrize(
    "fact",
    [
        f"{retry.RetryPolicy().max_attempts} attempts",
        f"{retry.MAX_RETRY_AFTER / 60:.0f} minutes",
        f"{scheduler.MAX_BUFFERED_BYTES / 2**20:.0f} MiB",
    ],
)
def test_architecture_numbers_equal_the_code(fact: str) -> None:
    assert fact in documents.read("docs/architecture.md")


def test_architecture_lists_every_module() -> None:
    page = documents.read("docs/architecture.md")
    package = documents.ROOT / "tap_campusgroups"
    modules = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if not path.name.startswith("__")
    }
    assert set(re.findall(r"\(\.\./tap_campusgroups/([\w/]+\.py)\)", page)) == modules
