"""The definition for Meltano Hub, and a new project that adds the tap with it."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from scripts.generate import hub
from tap_campusgroups.config import CONFIG
from tests.simulator import Dataset, Simulator
from tests.support import pipeline
from tests.support.documents import read_hub_definition as read_definition

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

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
LISTS = {"capabilities", "commands", "keywords", "settings", "settings_group_validation"}
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


# A new project


def succeed(workspace: pipeline.Workspace, *command: str) -> None:
    """Run Meltano and check that it succeeds."""
    finished = workspace.meltano(*command)
    # Meltano wraps uv's messages and prints them in a frame.
    if "network was disabled" in re.sub(r"[\s│]+", " ", finished.output):
        pytest.fail(f"uv's cache is incomplete; `make clean test` fills it\n{finished.output}")
    assert finished.code == 0, finished.output


@pytest.mark.slow
def test_project_that_adds_the_definition_installs_the_tap_and_loads_every_row(
    tmp_path: Path,
) -> None:
    """With `meltano add --from-ref`; the Hub itself would serve the same definition."""
    made, local = read_definition(), shlex.quote(str(pipeline.PROJECT))
    loader = {
        "name": "target-jsonl",
        "namespace": "target_jsonl",
        "executable": str(pipeline.plugin("target-jsonl")),
        "settings": [
            {"name": "destination_path", "value": "output"},
            {"name": "do_timestamp_file", "kind": "boolean", "value": False},
        ],
    }
    project = {
        "default_environment": "dev",
        "send_anonymous_usage_stats": False,
        "environments": [{"name": "dev"}],
        "plugins": {"loaders": [loader]},
    }
    for name, content in (("meltano.yml", project), ("tap.yml", {**made, "pip_url": local})):
        (tmp_path / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    (tmp_path / "output").mkdir()
    with Simulator(Dataset(5, newest=NEWEST)) as service:
        workspace = pipeline.Workspace(tmp_path, service=service, folder=tmp_path)
        workspace.environment |= pipeline.offline_installation()
        succeed(workspace, "add", pipeline.TAP, "--from-ref", "tap.yml")
        succeed(workspace, "run", pipeline.TAP, "target-jsonl")
        succeed(
            workspace, "invoke", f"{pipeline.TAP}:probe", "--wait", "0", "--report", "probe.json"
        )
    assert json.loads((tmp_path / "probe.json").read_bytes())["ended"] == "complete"
    changed = yaml.safe_load((tmp_path / "meltano.yml").read_text(encoding="utf-8"))
    (added,) = changed["plugins"]["extractors"]
    assert added["pip_url"] == local
    for key in ("name", "namespace", "variant", "capabilities", "settings", "repo", "executable"):
        assert added[key] == made[key], key
    arrived = {
        path.stem: sorted(json.loads(line)["id"] for line in path.read_bytes().splitlines())
        for path in (tmp_path / "output").iterdir()
    }
    assert arrived == {stream: [1, 2, 3, 4, 5] for stream in service.dataset.streams}
    # The tap of this checkout, installed by Meltano.
    venv = tmp_path / ".meltano" / "extractors" / pipeline.TAP / "venv"
    (package,) = venv.glob("lib/python*/site-packages/tap_campusgroups")
    assert package.resolve().is_relative_to(tmp_path.resolve())
    sources = pipeline.PROJECT / "tap_campusgroups"
    for path in sources.rglob("*.py"):
        assert (package / path.relative_to(sources)).read_bytes() == path.read_bytes(), path
