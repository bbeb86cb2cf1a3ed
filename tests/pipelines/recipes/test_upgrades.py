"""A project of the user's own, changed as documented, through an upgrade of the tap and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from examples.create_project import create
from tests.simulator import Dataset, Simulator
from tests.support import documents, pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
VERSIONS = ("1.2.0", "1.3.0", "1.2.0")
STATE_ID = "dev:tap-campusgroups-to-target-jsonl"


class Night(NamedTuple):
    """A run with one version of the tap.

    Attributes:
        version: What the tap says.
        started: Where the export began.
        files: Content of the project's files.
        ids: Ids that have been loaded so far.
    """

    version: str
    started: str
    files: dict[str, str]
    ids: set[int]


def build_wheel(version: str, folder: Path) -> Path:
    """Build a wheel of this checkout as of a tag."""
    variable = "SETUPTOOLS_SCM_PRETEND_VERSION"
    subprocess.run(
        [
            *(Path(sys.executable).with_name("uv"), "build", "--wheel", "--quiet"),
            *("--out-dir", folder, pipeline.PROJECT),
        ],
        env={**os.environ, **pipeline.offline_installation(), variable: version},
        check=True,
    )
    (wheel,) = folder.glob(f"tap_campusgroups-{version}-*.whl")
    return wheel


def change(project: Path) -> None:
    """Change the files as the documentation says."""

    def replace(name: str, old: str, new: str) -> None:
        text = (project / name).read_text("utf-8")
        assert text.count(old) == 1, (name, old)
        (project / name).write_text(text.replace(old, new), "utf-8")

    schedules = documents.block("docs/scale-out.md", "Groups of streams", "yaml")
    definition = yaml.safe_load((project / "meltano.yml").read_text("utf-8"))
    definition["schedules"] = yaml.safe_load(schedules)["schedules"]
    tap, *_ = definition["plugins"]["extractors"]
    tap |= {"select": ["tags.*"], "config": {"lookback_hours": 36}}
    (project / "meltano.yml").write_text(yaml.safe_dump(definition, sort_keys=False), "utf-8")
    replace("examples/dbt/dbt_project.yml", 'going_answers: ["yes"]', 'going_answers: ["ja"]')
    replace("examples/masked.meltano.yml", "streetAddress: __NULL__", "streetAddress: md5(_self)")
    (project / "examples/dagster/schools.yml").write_text("schools: []\n", "utf-8")
    (project / "examples" / "nightly" / "campusgroups.cron").write_text("# ours\n", "utf-8")


def read(project: Path) -> dict[str, str]:
    """Return the project's files by name."""
    return {
        str(path.relative_to(project)): path.read_text("utf-8")
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] not in {".meltano", "output"}
    }


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Night]]:
    """A run with each of the versions; a row is added before each."""
    home = tmp_path_factory.mktemp("home")
    wheels = {version: build_wheel(version, home / "wheels") for version in set(VERSIONS)}
    project = home / "own"
    create(project, str(wheels[VERSIONS[0]]))
    change(project)
    *_, install = documents.blocks(documents.section("docs/upgrades.md", "Upgrade the tap"), "sh")
    commands = [
        line.partition("#")[0].strip().removeprefix(".venv/bin/")
        for line in install.splitlines()
        if "meltano " in line
    ]
    assert len(commands) == 3
    with Simulator(Dataset({"tags": 1}, newest=NEWEST)) as service:
        workspace = pipeline.Workspace(home, service=service, folder=project)
        workspace.environment |= pipeline.offline_installation()
        loaders = project / ".meltano" / "loaders"
        loaders.mkdir(parents=True)
        venv = loaders / "target-jsonl"
        venv.symlink_to(pipeline.PLUGINS / "loaders" / "target-jsonl", target_is_directory=True)
        found = []
        for number, (version, before) in enumerate(zip(VERSIONS, (None, *VERSIONS), strict=False)):
            if before is not None:
                text = (project / "meltano.yml").read_text("utf-8")
                assert text.count(f"tap_campusgroups-{before}-") == 1
                text = text.replace(f"tap_campusgroups-{before}-", f"tap_campusgroups-{version}-")
                (project / "meltano.yml").write_text(text, "utf-8")
            printed = []
            for command in commands:
                finished = workspace.shell(command, {})
                assert finished.code == 0, finished.output
                printed.append(finished.output)
            rows = service.dataset["tags"]
            newer = f"{NEWEST + timedelta(hours=number):%FT%TZ}"
            rows.append({**rows[0], "id": 10 + number, "updatedOn": newer})
            service.reset_log()
            finished = workspace.meltano("run", pipeline.TAP, "target-jsonl")
            assert finished.code == 0, finished.output
            (posted,) = (one for one in service.requests if one.method == "POST")
            lines = (project / "output" / "campusgroups" / "tags.jsonl").read_text().splitlines()
            found.append(
                Night(
                    version=printed[1],
                    started=posted.query["updatedStart"],
                    files=read(project),
                    ids={json.loads(line)["id"] for line in lines},
                )
            )
        yield found


def test_each_version_runs_and_resumes_from_the_bookmark(nights: list[Night]) -> None:
    for night, version in zip(nights, VERSIONS, strict=True):
        assert f"tap-campusgroups v{version}" in night.version
    # The bookmark of the night before, less the changed lookback.
    bookmarks = [NEWEST + timedelta(hours=number) for number in range(2)]
    starts = ["1900-01-01T00:00:00Z", *(f"{at - timedelta(hours=36):%FT%TZ}" for at in bookmarks)]
    assert [night.started for night in nights] == starts
    assert [night.ids for night in nights] == [{1, 10}, {1, 10, 11}, {1, 10, 11, 12}]


def test_changed_files_survive_an_upgrade_and_the_way_back(nights: list[Night]) -> None:
    first, second, third = (night.files for night in nights)
    assert third == first
    assert second.keys() == first.keys()
    changed = {name for name, text in second.items() if first[name] != text}
    assert changed == {"meltano.yml"}
    lines = zip(first["meltano.yml"].splitlines(), second["meltano.yml"].splitlines(), strict=True)
    (line,) = {after.strip() for before, after in lines if before != after}
    assert line.startswith("pip_url: ")
    assert "tap_campusgroups-1.3.0-" in line
    assert 'going_answers: ["ja"]' in first["examples/dbt/dbt_project.yml"]
