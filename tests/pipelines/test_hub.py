"""The definition for Meltano Hub, and new projects that add the tap with it.

The Hub and the service are simulated. Meltano, its installation of the tap and the loader are real.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

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
TEXT = {"type": "string", "minLength": 1}
NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_-]*$"}
NAMES = {"type": "array", "items": NAME, "minItems": 1, "uniqueItems": True}
HUB_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": NAME,
        "namespace": NAME,
        "variant": NAME,
        "label": TEXT,
        "description": TEXT,
        "definition": TEXT,
        "prereq": TEXT,
        "next_steps": TEXT,
        "domain_url": {"type": "string", "pattern": "^https://"},
        "logo_url": {"type": "string", "pattern": r"^/assets/logos/extractors/[a-z]+\.png$"},
        "repo": {"type": "string", "pattern": "^https://"},
        "pip_url": {"type": "string", "pattern": r"^git\+https://.*\.git$"},
        "executable": NAME,
        "log_parser": {"const": "singer-sdk"},
        "keywords": {"type": "array", "contains": {"const": "meltano_sdk"}, "items": TEXT},
        "maintenance_status": {"enum": ["active", "beta", "development", "inactive", "unknown"]},
        "quality": {"enum": ["gold", "silver", "bronze", "unknown"]},
        "supported_python_versions": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "pattern": r"^3\.\d+$"},
        },
        "capabilities": NAMES,
        "settings_group_validation": {"type": "array", "items": NAMES, "minItems": 1},
        "settings": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "kind", "label", "description"],
                "properties": {
                    "name": NAME,
                    "label": TEXT,
                    "description": TEXT,
                    "kind": {
                        "enum": [
                            "array",
                            "boolean",
                            "decimal",
                            "integer",
                            "object",
                            "options",
                            "string",
                        ]
                    },
                    "value": {"not": {"type": "null"}},
                    "sensitive": {"const": True},
                    "options": {
                        "type": "array",
                        "minItems": 2,
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["label", "value"],
                            "properties": {"label": TEXT, "value": TEXT},
                        },
                    },
                },
            },
        },
    },
}
"""A short and slightly stricter form of the Hub's schema, with every key of the definition."""
HUB_SCHEMA["required"] = list(HUB_SCHEMA["properties"])


# The definition


def test_definition_is_valid_for_the_hub() -> None:
    Draft202012Validator(HUB_SCHEMA).validate(read_definition())


def test_definition_is_in_the_order_of_the_hub_s_formatter() -> None:
    made = read_definition()
    assert list(made) == sorted(made)
    for ordered in (
        made["capabilities"],
        [setting["name"] for setting in made["settings"]],
        *made["settings"],
        *made["settings_group_validation"],
    ):
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


@pytest.mark.parametrize(
    ("schema", "described"),
    [
        ({"type": ["string", "null"]}, {"kind": "string"}),
        ({"type": "number", "default": 0.5}, {"kind": "decimal", "value": 0.5}),
        ({"type": ["array", "null"], "default": None}, {"kind": "array"}),
        ({"type": ["boolean"], "default": False}, {"kind": "boolean", "value": False}),
        ({"type": ["string"], "secret": True}, {"kind": "string", "sensitive": True}),
        (
            {"type": ["string", "null"], "enum": ["1.0", "1.1", None], "default": "1.1"},
            {
                "kind": "options",
                "options": [{"label": "1.0", "value": "1.0"}, {"label": "1.1", "value": "1.1"}],
                "value": "1.1",
            },
        ),
    ],
)
def test_setting_of_any_type_is_described(
    schema: dict[str, Any], described: dict[str, Any]
) -> None:
    named = {"title": "Some thing", "description": "What it does."}
    assert hub.setting("some_thing", schema | named) == {
        "name": "some_thing",
        "label": "Some thing",
        "description": "What it does.",
        **described,
    }


# A new project that adds the tap from the Hub


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
    succeed(project.meltano("add", pipeline.TAP))
    return project


@pytest.fixture(scope="module")
def requests_of_add(served: FakeHub, project: Project) -> list[Asked]:
    """The requests to the Hub until then."""
    assert project.extractor()
    return list(served.requests)


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


def installed(project: Project) -> Path:
    """Return the package that Meltano installed for the tap."""
    venv = project.folder / ".meltano" / "extractors" / pipeline.TAP / "venv"
    (found,) = venv.glob("lib/python*/site-packages/tap_campusgroups")
    return found


@pytest.mark.slow
def test_add_requests_index_and_definition(requests_of_add: list[Asked]) -> None:
    plugins, variant = f"{API}/plugins/extractors", read_definition()["variant"]
    assert requests_of_add == [
        Asked(f"{plugins}/index", 200, "meltano add"),
        Asked(f"{plugins}/tap-campusgroups--{variant}", 200, "meltano add"),
    ]


@pytest.mark.slow
def test_add_locks_the_definition(project: Project) -> None:
    made = read_definition()
    assert project.extractor() == {
        "name": pipeline.TAP,
        "variant": made["variant"],
        "pip_url": LOCAL,
    }
    (path,) = (project.folder / "plugins" / "extractors").iterdir()
    assert path.name == f"tap-campusgroups--{made['variant']}.lock"
    locked = json.loads(path.read_text(encoding="utf-8"))
    assert locked["pip_url"] == LOCAL
    for key in (
        "namespace",
        "label",
        "description",
        "repo",
        "executable",
        "capabilities",
        "settings",
        "settings_group_validation",
        "supported_python_versions",
    ):
        assert locked[key] == made[key], key


@pytest.mark.slow
def test_add_installs_the_tap_of_this_checkout(project: Project) -> None:
    package = installed(project)
    assert package.resolve().is_relative_to(project.folder.resolve())
    sources = pipeline.PROJECT / "tap_campusgroups"
    for path in sources.rglob("*.py"):
        assert (package / path.relative_to(sources)).read_bytes() == path.read_bytes(), path


@pytest.mark.slow
def test_config_list_shows_the_settings(project: Project, service: Simulator) -> None:
    shown = succeed(project.meltano("config", "list", pipeline.TAP, "--all"))
    assert "Required settings: api_secret, school_code" in shown
    for setting in read_definition()["settings"]:
        assert f"{setting['name']} [env: TAP_CAMPUSGROUPS_{setting['name'].upper()}]" in shown
        assert f"{setting['label']}: {setting['description']}" in shown
    assert service.api_secret not in shown


@pytest.mark.slow
def test_config_test_succeeds(project: Project) -> None:
    assert "Plugin configuration is valid" in succeed(
        project.meltano("config", "test", pipeline.TAP)
    )


@pytest.mark.slow
def test_run_loads_every_row(
    project: Project, service: Simulator, served: FakeHub, requests_of_add: list[Asked]
) -> None:
    service.reset_log()
    succeed(
        project.meltano(
            "run", pipeline.TAP, "target-jsonl", TAP_CAMPUSGROUPS_START_DATE="2006-01-01"
        )
    )
    assert arrived(project) == {
        stream: sorted(row["id"] for row in service.dataset[stream])
        for stream in service.dataset.streams
    }
    submitted = [one for one in service.requests if one.method == "POST"]
    assert len(submitted) == len(service.dataset.streams) == 23
    assert {one.query["updatedStart"] for one in submitted} == {"2006-01-01T00:00:00Z"}
    assert served.requests == requests_of_add


def arrived(project: Project) -> dict[str, list[int]]:
    """Return the ids in the loader's files, by stream."""
    return {
        path.stem: sorted(json.loads(line)["id"] for line in path.read_bytes().splitlines())
        for path in (project.folder / "output").iterdir()
    }


# A new project that adds the tap from the file


@pytest.mark.slow
def test_tap_added_from_the_file_runs(
    served: FakeHub, service: Simulator, tmp_path: Path, requests_of_add: list[Asked]
) -> None:
    project = Project(tmp_path, served, service)
    made = read_definition()
    copy = project.write({**made, "pip_url": LOCAL}, "tap-campusgroups.yml")
    succeed(project.meltano("add", pipeline.TAP, "--from-ref", copy.name))
    assert served.requests == requests_of_add
    added = project.extractor()
    assert added["pip_url"] == LOCAL
    for key in ("name", "namespace", "variant", "capabilities", "settings", "repo"):
        assert added[key] == made[key], key
    succeed(
        project.meltano(
            "run", pipeline.TAP, "target-jsonl", TAP_CAMPUSGROUPS__SELECT='["events.*", "rooms.*"]'
        )
    )
    assert {name: len(ids) for name, ids in arrived(project).items()} == {
        "events": ROWS,
        "rooms": ROWS,
    }
