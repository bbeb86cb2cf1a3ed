"""The definition for Meltano Hub, and new projects that add the tap with it.

The Hub and the service are simulated. Meltano, its installation of the tap and the loader are real.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from scripts.generate import hub
from tap_campusgroups.config import CONFIG
from tests.simulator import Dataset, Simulator
from tests.support import pipeline
from tests.support.fake_hub import API, LOCAL, Asked, FakeHub, Project, read_definition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.pipeline import Finished

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
ROWS = 5
# The definition


PATTERNS = {
    **dict.fromkeys(("name", "namespace", "variant", "executable"), "[a-z][a-z0-9_-]*"),
    **dict.fromkeys(("label", "description", "definition", "prereq", "next_steps"), "(?s).+"),
    **dict.fromkeys(("domain_url", "repo"), "https://.*"),
    "logo_url": r"/assets/logos/extractors/[a-z]+\.png",
    "pip_url": r"git\+https://.*\.git",
    "log_parser": "singer-sdk",
    "maintenance_status": "active|beta|development|inactive|unknown",
    "quality": "gold|silver|bronze|unknown",
}
LISTS = {"capabilities", "keywords", "settings", "settings_group_validation"}
OPTIONAL = {"value", "sensitive", "options"}
KINDS = {"array", "boolean", "decimal", "integer", "object", "options", "string"}


def test_definition_is_valid_for_the_hub_and_in_the_order_of_its_formatter() -> None:
    made = read_definition()
    assert made.keys() == {*PATTERNS, *LISTS, "supported_python_versions"}
    for key, pattern in PATTERNS.items():
        assert re.fullmatch(pattern, made[key]), key
    assert "meltano_sdk" in made["keywords"]
    for setting in made["settings"]:
        assert {"name", "kind", "label", "description"} <= setting.keys()
        assert setting.keys() <= {*("name", "kind", "label", "description"), *OPTIONAL}
        assert setting["kind"] in KINDS
    names = [setting["name"] for setting in made["settings"]]
    groups = made["settings_group_validation"]
    for ordered in (made, made["capabilities"], names, *made["settings"], *groups):
        assert list(ordered) == sorted(ordered)


def test_definition_equals_the_output_of_about() -> None:
    made, said = read_definition(), hub.about()
    settings = {setting["name"]: setting for setting in made["settings"]}
    assert set(settings) == set(said["settings"]["properties"]) >= set(CONFIG["properties"])
    assert set(made["capabilities"]) == set(said["capabilities"])
    assert made["supported_python_versions"] == said["supported_python_versions"]
    assert made["settings_group_validation"] == [sorted(CONFIG["required"])]
    assert [name for name in settings if "sensitive" in settings[name]] == ["api_secret"]
    assert settings["start_date"]["kind"] == settings["end_date"]["kind"] == "string"


def test_setting_of_any_type_is_described() -> None:
    named = {"title": "Some thing", "description": "What it does."}
    for schema, described in (
        ({"type": "number", "default": 0.5}, {"kind": "decimal", "value": 0.5}),
        ({"type": ["array", "null"], "default": None}, {"kind": "array"}),
        ({"type": ["string"], "secret": True}, {"kind": "string", "sensitive": True}),
    ):
        made = hub.setting("some_thing", {**named, **schema})
        expected = {"name": "some_thing", "label": "Some thing", "description": "What it does."}
        assert made == {**expected, **described}


# New projects


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    """A service."""
    with Simulator(Dataset(ROWS, newest=NEWEST)) as service:
        yield service


@pytest.fixture(scope="module")
def served() -> Iterator[FakeHub]:
    """The Hub."""
    with FakeHub(read_definition(), pip_url=LOCAL) as served:
        yield served


@pytest.fixture(scope="module")
def project(
    served: FakeHub, service: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A new project, after `meltano add tap-campusgroups`."""
    project = Project(tmp_path_factory.mktemp("project"), served, service)
    before = len(served.requests)
    succeed(project.meltano("add", pipeline.TAP))
    plugins, variant = f"{API}/plugins/extractors", read_definition()["variant"]
    assert served.requests[before:] == [
        Asked(f"{plugins}/index", 200, "meltano add"),
        Asked(f"{plugins}/tap-campusgroups--{variant}", 200, "meltano add"),
    ]
    return project


def succeed(finished: Finished) -> str:
    """Check that a command of Meltano succeeded, and return its output."""
    # Meltano wraps uv's messages and prints them in a frame.
    if "network was disabled" in re.sub(r"[\s│]+", " ", finished.output):
        pytest.fail(
            "uv's cache does not have what the tap needs; `make clean test` fills it\n"
            f"{finished.output}"
        )
    assert finished.code == 0, finished.output
    return finished.output


def locked(project: Project) -> dict[str, Any]:
    """Return the definition that Meltano has locked."""
    variant = read_definition()["variant"]
    path = project.folder / "plugins" / "extractors" / f"tap-campusgroups--{variant}.lock"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.slow
def test_add_from_the_hub_locks_the_definition(project: Project) -> None:
    made, found = read_definition(), locked(project)
    assert project.extractor() == {
        "name": pipeline.TAP,
        "variant": made["variant"],
        "pip_url": LOCAL,
    }
    assert found["pip_url"] == LOCAL
    keys = ("namespace", "label", "description", "repo", "executable", "capabilities", "settings")
    for key in (*keys, "settings_group_validation", "supported_python_versions"):
        assert found[key] == made[key], key


@pytest.mark.slow
def test_add_installs_the_tap_of_this_checkout(project: Project) -> None:
    venv = project.folder / ".meltano" / "extractors" / pipeline.TAP / "venv"
    (package,) = venv.glob("lib/python*/site-packages/tap_campusgroups")
    assert package.resolve().is_relative_to(project.folder.resolve())
    sources = pipeline.PROJECT / "tap_campusgroups"
    for path in sources.rglob("*.py"):
        assert (package / path.relative_to(sources)).read_bytes() == path.read_bytes(), path


@pytest.mark.slow
def test_run_loads_every_row(project: Project, service: Simulator, served: FakeHub) -> None:
    service.reset_log()
    before = list(served.requests)
    start = {"TAP_CAMPUSGROUPS_START_DATE": "2006-01-01"}
    succeed(project.meltano("run", pipeline.TAP, "target-jsonl", **start))
    arrived = {
        path.stem: sorted(json.loads(line)["id"] for line in path.read_bytes().splitlines())
        for path in (project.folder / "output").iterdir()
    }
    streams = service.dataset.streams
    assert arrived == {name: sorted(row["id"] for row in service.dataset[name]) for name in streams}
    submitted = [one for one in service.requests if one.method == "POST"]
    assert len(submitted) == len(streams) == 23
    assert {one.query["updatedStart"] for one in submitted} == {"2006-01-01T00:00:00Z"}
    assert served.requests == before


@pytest.mark.slow
def test_add_from_the_file_gives_the_definition_of_the_hub(
    served: FakeHub, service: Simulator, tmp_path: Path
) -> None:
    """Another project, without the installation; the tap from the Hub shows that it works."""
    project, made = Project(tmp_path, served, service), read_definition()
    before = list(served.requests)
    copy = project.write({**made, "pip_url": LOCAL}, "tap-campusgroups.yml")
    succeed(project.meltano("add", "--no-install", pipeline.TAP, "--from-ref", copy.name))
    assert served.requests == before
    added = project.extractor()
    assert added["pip_url"] == LOCAL
    for key in ("name", "namespace", "variant", "capabilities", "settings", "repo", "executable"):
        assert added[key] == made[key], key
