"""The tap in a pipe with target-jsonl, without Meltano, as the README shows it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tap_campusgroups.config import CONFIG
from tests.simulator import Dataset, Hang, Simulator
from tests.support import documents, messages, pipeline
from tests.support.harness import catalog_of, settings_for
from tests.support.pipes import TAP_COMMAND, pipe_into_jsonl

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
MOVING, QUIET = "events", "rooms"
MAX_CONCURRENT = CONFIG["properties"]["max_concurrent_exports"]["default"]


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


def test_readme_pipe_returns_the_state_and_the_exit_code_of_the_tap(tmp_path: Path) -> None:
    """The installation was tried by hand; it needs a network."""
    installs, script = readme_commands(tmp_path)
    assert installs == ["pipx install .", "pipx install target-jsonl"]
    with Simulator(Dataset({MOVING: 3}, newest=NEWEST)) as service:

        def run(**settings: str) -> subprocess.CompletedProcess[bytes]:
            config = settings_for(service, **settings)
            (tmp_path / "config.json").write_text(json.dumps(config))
            return subprocess.run(
                ["bash", "-e", "-c", script],  # noqa: S607
                cwd=tmp_path,
                env=pipeline.bare_environment(tmp_path),
                capture_output=True,
                check=False,
                timeout=120,
            )

        finished = run()
        assert finished.returncode == 0, finished.stderr
        state = tmp_path / "state.json"
        bookmark = json.loads(state.read_bytes())["bookmarks"][MOVING]["replication_key_value"]
        assert bookmark == f"{NEWEST:%Y-%m-%dT%H:%M:%S}.000000Z"

        script = script.replace("--catalog", "--state state.json --catalog")
        service.reset_log()
        assert run().returncode == 0
        (start,) = (
            one.query["updatedStart"]
            for one in service.requests
            if (one.method, one.stream) == ("POST", MOVING)
        )
        assert start.startswith(f"{NEWEST - timedelta(days=2):%Y-%m-%d}")

        before = state.read_bytes()
        assert run(api_secret="wrong").returncode == 1  # noqa: S106 - for the simulator
        assert state.read_bytes() == before


def test_pipe_loads_every_row_and_returns_the_state(tmp_path: Path) -> None:
    dataset = Dataset(7, newest=NEWEST)
    with Simulator(dataset) as service:
        environment = pipeline.bare_environment(tmp_path) | pipeline.tap_settings(service)
        state = json.loads(pipe_into_jsonl(TAP_COMMAND, environment, tmp_path))
    loaded = {
        path.stem: sorted(json.loads(line)["id"] for line in path.read_bytes().splitlines())
        for path in (tmp_path / "files").iterdir()
    }
    assert loaded == {
        stream: sorted(row["id"] for row in dataset[stream]) for stream in dataset.streams
    }
    assert set(state["bookmarks"]) == set(dataset.streams)


def test_state_that_the_target_returns_is_the_next_run_s(tmp_path: Path) -> None:
    """target-jsonl forgets its state when records follow it: only a final STATE survives."""
    catalog, state = tmp_path / "catalog.json", tmp_path / "state.json"
    catalog.write_text(json.dumps(catalog_of([MOVING, QUIET])))
    state.write_text("{}")
    command = (*TAP_COMMAND, "--catalog", catalog, "--state", state)
    with Simulator(Dataset({MOVING: 3, QUIET: 2}, newest=NEWEST)) as service:
        environment = pipeline.bare_environment(tmp_path) | pipeline.tap_settings(service)
        rows = service.dataset[MOVING]
        for night in range(1, 4):
            newest = f"{NEWEST + timedelta(hours=night):%Y-%m-%dT%H:%M:%S}"
            rows.append(rows[0] | {"id": 1000 + night, "updatedOn": f"{newest}Z"})
            state.write_bytes(pipe_into_jsonl(command, environment, tmp_path))
            bookmark = json.loads(state.read_bytes())["bookmarks"][MOVING]
            assert bookmark["replication_key_value"] == f"{newest}.000000Z"


def test_target_that_exits_early_ends_the_tap_with_an_error(tmp_path: Path) -> None:
    with Simulator(Dataset(300, newest=NEWEST)) as service:
        # Only the first stream has pages: a fast tap could request all before the reader exits.
        for stream in sorted(service.dataset.streams)[1:]:
            service.inject(Hang().on(stream, "first_page", times=None))
        with subprocess.Popen(
            TAP_COMMAND,
            env=pipeline.bare_environment(tmp_path) | pipeline.tap_settings(service),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as tap:
            assert tap.stdout is not None
            assert tap.stderr is not None
            try:
                for _ in range(5):
                    message = json.loads(tap.stdout.readline())
                    assert message["type"] in {"SCHEMA", "RECORD", "STATE"}
                tap.stdout.close()
                log = tap.stderr.read().decode()
                code = tap.wait(timeout=60)
            finally:
                tap.kill()
        requested = {one.stream for one in service.requests}
    assert code in {1, 128 + signal.SIGPIPE, -signal.SIGPIPE}, log
    assert "Traceback" not in log
    assert messages.OUTPUT_CLOSED in log.splitlines()[-1]
    assert len(requested) <= 1 + MAX_CONCURRENT
