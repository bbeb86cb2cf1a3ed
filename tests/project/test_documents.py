"""Documents and generated files agree with the code and with each other."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from scripts.generate.files import FILES
from scripts.generate.pictures.state import FIRST, LATE_ARRIVED, LATE_UPDATED, LOOKBACK, SECOND
from tap_campusgroups import summary
from tap_campusgroups.config import CONFIG, ApiVersion
from tap_campusgroups.exports import retry, scheduler
from tap_campusgroups.probe.assumptions import ASSUMPTIONS
from tap_campusgroups.probe.questions import DEFAULT_STREAMS, Plan, questions
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator.dataset import tap_schemas
from tests.support import documents
from tests.support.documents import ROOT, read_hub_definition
from tests.support.postgres import Postgres

README = documents.read("README.md")
STATE = documents.read("docs/state.md")
WAREHOUSES = "docs/warehouses.md"
MELTANO: dict[str, Any] = yaml.safe_load(documents.read("meltano.yml"))
EXTRACTOR: dict[str, Any] = MELTANO["plugins"]["extractors"][0]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/*.md"))
)
IMAGES = sorted((ROOT / "docs" / "images").glob("*.svg"))


def table(heading: str) -> list[list[str]]:
    """Return the rows of the README's table under a heading."""
    lines = documents.section("README.md", heading).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


# Settings, streams and numbers


def test_meltano_yml_equals_the_hub_definition() -> None:
    definition = read_hub_definition()
    for key in (
        *("name", "namespace", "label", "executable", "commands"),
        "settings_group_validation",
    ):
        assert EXTRACTOR[key] == definition[key], key
    assert EXTRACTOR["capabilities"] == [c.value for c in TapCampusGroups.capabilities]
    assert sorted(EXTRACTOR["capabilities"]) == definition["capabilities"]
    TapCampusGroups.append_builtin_config(TapCampusGroups.config_jsonschema)
    names = list(TapCampusGroups.config_jsonschema["properties"])
    assert [setting["name"] for setting in EXTRACTOR["settings"]] == names
    described = {setting["name"]: setting for setting in definition["settings"]}
    for setting in EXTRACTOR["settings"]:
        name = setting["name"]
        assert setting["description"], name
        # The project has its own descriptions of the SDK's settings.
        own = {} if name in CONFIG["properties"] else {"description": setting["description"]}
        assert setting == {**described[name], **own}, name


def test_tap_has_neither_batch_nor_activate_version() -> None:
    """BATCH messages would bypass stream maps, and so masking."""
    assert not {"batch", "activate-version"} & set(EXTRACTOR["capabilities"])
    assert "batch_config" not in [setting["name"] for setting in EXTRACTOR["settings"]]


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
    for (name, default, meaning), definition in zip(
        rows, CONFIG["properties"].values(), strict=True
    ):
        if name.strip("`") in CONFIG["required"]:
            assert default == "required", name
        elif "default" in definition:
            assert default == f"{definition['default']}", name
        else:
            assert default in {"", "from `school_code`"}, name
        for bounds in re.findall(r"from (\d+) to (\d+)", meaning):
            assert [*map(int, bounds)] == [definition["minimum"], definition["maximum"]], name


def test_readme_streams_equal_the_code() -> None:
    schemas = tap_schemas("1.1")
    assert [row[:2] for row in table("Streams")] == [
        [f"`{stream}`", schemas[stream]["x-description"]] for stream in STREAMS[ApiVersion.V1_1]
    ]


def test_readme_summary_has_the_columns_of_the_code() -> None:
    lines = documents.section("README.md", "What a run prints").splitlines()
    (header,) = (line for line in lines if line.startswith("  stream "))
    columns = summary._COLUMNS  # noqa: SLF001 - they are printed, and not public
    assert header.split() == " ".join(columns).split()
    assert [row[0].strip("`") for row in table("What a run prints")] == list(columns[1:])


def test_readme_prose_has_at_most_1500_words() -> None:
    text = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("|"))
    words = re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text).split()
    assert 500 < len(words) <= 1500


@pytest.mark.parametrize(
    "fact",
    [
        f"{retry.RetryPolicy().max_attempts} attempts",
        f"{retry.RetryPolicy().fault_seconds / 60:.0f} minutes",
        f"{scheduler.MAX_BUFFERED_BYTES / 2**20:.0f} MiB",
    ],
)
def test_architecture_numbers_equal_the_code(fact: str) -> None:
    assert fact in documents.read("docs/architecture.md")


def test_architecture_lists_every_module() -> None:
    package = ROOT / "tap_campusgroups"
    modules = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if not path.name.startswith("__")
    }
    page = documents.read("docs/architecture.md")
    assert set(re.findall(r"\(\.\./tap_campusgroups/([\w/]+\.py)\)", page)) == modules


def test_probe_page_lists_every_assumption_and_question() -> None:
    page = documents.read("docs/probe.md")
    listed = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \| [^|]+ \|$", page, re.MULTILINE))
    names = {one.name: one.text for one in ASSUMPTIONS}
    assert {name: listed.get(name) for name in names} == names
    streams = DEFAULT_STREAMS[:2]
    asked = questions(Plan(streams, 300.0, tries_wrong_secret=True, now=datetime.now(UTC)))
    rows = [
        row.split("|")[2]
        for row in documents.section("docs/probe.md", "What it asks").splitlines()
        if row.startswith("| ")
    ]
    assert [re.sub(r"\D", "", row) for row in rows[2:]] == [str(one.requests) for one in asked]


# The loader blocks of docs/warehouses.md


def values(loader: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a loader that have a value."""
    return {one["name"]: one["value"] for one in loader["settings"] if "value" in one}


def test_loader_blocks_equal_meltano_yml_and_need_nothing_from_the_hub() -> None:
    for heading in ("PostgreSQL", "DuckDB and Parquet", "CSV"):
        block = yaml.safe_load(documents.block(WAREHOUSES, heading, "yaml"))
        (loader,) = block["plugins"]["loaders"]
        assert loader["namespace"] == loader["name"].replace("-", "_")
        assert "$MELTANO_EXTRACT__LOAD_SCHEMA" in str(values(loader))
        for ours in MELTANO["plugins"]["loaders"]:
            if ours["name"] == loader["name"] == "target-postgres":
                assert block["env"] == MELTANO["env"]
                assert loader["pip_url"] == ours["pip_url"]
                # The loader's default, and a file of this project.
                more = {"use_copy": False, "log_config": values(ours)["log_config"]}
                assert {**values(loader), **more} == values(ours)


@pytest.mark.parametrize(
    "name", ["meltano.yml", ".env.example", WAREHOUSES, "docs/troubleshooting.md"]
)
def test_documented_loader_url_has_the_tested_driver(name: str) -> None:
    url = Postgres("postgresql://user:password@host:5432/").sqlalchemy_url
    assert url in documents.read(name)


# Links, generated files and pictures


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name: str) -> None:
    page, text = ROOT / name, documents.read(name)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\((?!https?://)([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", prose)
    for link in (inline or picture for inline, picture in found):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", FILES)
def test_generated_file_is_up_to_date(name: str) -> None:
    assert documents.read(name) == FILES[name](), f"{name} is out of date; run `make generate`"


def test_drawn_pictures_refer_to_nothing_outside() -> None:
    names = ("architecture", "demo", "overview", "state")
    expected = {f"{name}-{theme}.svg" for name in names for theme in ("light", "dark")}
    assert {path.name for path in IMAGES} == expected
    for path in IMAGES:
        picture = path.read_text(encoding="utf-8")
        assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - ours
        assert re.findall(r"\w+://[^\s\"'<)]*", picture) == ["http://www.w3.org/2000/svg"], path
        assert not re.search(r"/(?:tmp|root|home|Users)\b|@import|@font-face|href", picture), path


# The example in docs/state.md


def test_state_example_has_the_numbers_of_the_picture() -> None:
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:4]]
        for line in STATE.splitlines()
        if len(cells := line.split("|")) == 5
    }
    for name, times in {
        "start of the run": [night.started for night in (FIRST, SECOND)],
        "bookmark before": [night.bookmark for night in (FIRST, SECOND)],
        "reads `updatedOn` from": [night.range_start for night in (FIRST, SECOND)],
        "newest row in the lake": [night.newest for night in (FIRST, SECOND)],
        "bookmark after": [night.next_bookmark for night in (FIRST, SECOND)],
    }.items():
        assert rows[name] == [f"{at:%a} {at.day} {at:%B %H:%M}" for at in times]
    assert f"{LATE_UPDATED:on %A at %H:%M}" in STATE
    assert f"{LATE_ARRIVED:on %A at %H:%M}" in STATE.replace("\n", " ")


def test_state_example_shows_a_late_row_within_the_lookback() -> None:
    """The row is older than the bookmark, arrives after it, and is within the lookback."""
    assert FIRST.started < LATE_ARRIVED < SECOND.started
    assert SECOND.range_start < LATE_UPDATED < FIRST.next_bookmark
    assert LOOKBACK.total_seconds() == 3600 * CONFIG["properties"]["lookback_hours"]["default"]
