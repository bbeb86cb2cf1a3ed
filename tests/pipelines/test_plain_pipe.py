"""The tap in a pipe with target-jsonl, without Meltano, as the README shows it."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.simulator import Dataset, Simulator
from tests.support import documents, pipeline
from tests.support.harness import settings_for

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
MOVING = "events"


def readme_commands(folder: Path) -> tuple[list[str], str]:
    """Return the README's commands that install programs, and the script of the other ones.

    Args:
        folder: Folder for links to the installed programs, which the script prefers.
    """
    _, _, text = documents.read("README.md").partition("<summary>Without Meltano</summary>")
    lines = documents.blocks(text, "sh")[0].splitlines()
    programs = folder / "bin"
    programs.mkdir()
    for name in (pipeline.TAP, "target-jsonl"):
        (programs / name).symlink_to(pipeline.plugin(name))
    script = [f"PATH={programs}:$PATH", *(line for line in lines if "install" not in line)]
    installs = [re.sub(" *#.*", "", line) for line in lines if "install" in line]
    return installs, "\n".join(script)


def test_readme_pipe_loads_every_row_and_resumes(tmp_path: Path) -> None:
    """target-jsonl forgets its state when records follow it: only a final STATE survives.

    The installation was tried by hand; it needs a network.
    """
    installs, script = readme_commands(tmp_path)
    assert installs == ["pipx install .", "pipx install target-jsonl"]
    dataset, state = Dataset(7, newest=NEWEST), tmp_path / "state.json"

    def bookmark() -> str:
        bookmarks = json.loads(state.read_bytes())["bookmarks"]
        assert set(bookmarks) == set(dataset.streams)
        return str(bookmarks[MOVING]["replication_key_value"])

    with Simulator(dataset) as service:

        def run(**settings: str) -> int:
            (tmp_path / "config.json").write_text(json.dumps(settings_for(service, **settings)))
            return subprocess.run(
                ["bash", "-e", "-c", script],  # noqa: S607
                cwd=tmp_path,
                env=pipeline.bare_environment(tmp_path),
                check=False,
                timeout=120,
            ).returncode

        assert run() == 0
        loaded = {
            # The file's name ends with the time of the run.
            path.stem.partition("-")[0]: {
                json.loads(line)["id"] for line in path.read_bytes().splitlines()
            }
            for path in tmp_path.glob("*.jsonl")
        }
        assert loaded == {name: {row["id"] for row in dataset[name]} for name in dataset.streams}
        assert bookmark() == f"{NEWEST:%FT%T}.000000Z"

        script = script.replace("--catalog", "--state state.json --catalog")
        later = NEWEST + timedelta(hours=1)
        dataset[MOVING].append(dataset[MOVING][0] | {"id": 1000, "updatedOn": f"{later:%FT%TZ}"})
        service.reset_log()
        assert run() == 0
        posted = {one.stream: one.query for one in service.requests if one.method == "POST"}
        assert posted[MOVING]["updatedStart"] == f"{NEWEST - timedelta(hours=48):%FT%TZ}"
        assert bookmark() == f"{later:%FT%T}.000000Z"

        before = state.read_bytes()
        assert run(api_secret="wrong") == 1  # noqa: S106 - for the simulator
        assert state.read_bytes() == before
