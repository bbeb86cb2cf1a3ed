"""The switch from the job `nightly` to the groups of streams, with its state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.simulator import Dataset, Simulator
from tests.support import documents
from tests.support.pipeline import TAP, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.pipeline import Finished

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
GROUPS = ("events", "people", "money", "content")


def starts(service: Simulator) -> set[str]:
    """Return where the submitted exports begin."""
    posted = [one for one in service.requests if one.method == "POST"]
    return {one.query["updatedStart"] for one in posted}


def test_groups_resume_where_the_nightly_job_has_stopped(tmp_path: Path) -> None:
    with Simulator(Dataset(2, newest=NEWEST)) as service:
        workspace = Workspace(tmp_path, service=service)

        def succeed(finished: Finished) -> None:
            assert finished.code == 0, finished.output

        succeed(workspace.meltano("run", TAP, "target-jsonl"))
        (nightly,) = workspace.states().values()
        recipe = documents.block("docs/scale-out.md", "Groups of streams", "sh")
        succeed(workspace.shell(recipe.replace("target-postgres", "target-jsonl"), {}))
        for group in GROUPS:
            assert workspace.states()[f"dev:{TAP}--{group}-to-target-jsonl"] == nightly
        service.reset_log()
        succeed(workspace.meltano("run", f"{TAP}--money", "target-jsonl"))
        assert starts(service) == {f"{NEWEST - timedelta(hours=48):%FT%TZ}"}
