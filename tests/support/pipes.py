"""The tap in a pipe with target-jsonl."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Final

from tests.support import pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TAP_COMMAND: Final[tuple[str | Path, ...]] = (pipeline.plugin(pipeline.TAP), "--config", "ENV")
"""The tap that Meltano installed, with its settings in the environment."""


def pipe_into_jsonl(
    tap_command: Sequence[str | Path], environment: Mapping[str, str], folder: Path
) -> bytes:
    """Run a tap into target-jsonl, check that both succeed, and return the target's state.

    Args:
        tap_command: The tap with its options.
        environment: Environment of both processes.
        folder: Folder for `target.json`, the target's settings, and `files`, what it loads.
    """
    (folder / "files").mkdir(exist_ok=True)
    config = folder / "target.json"
    settings = {"destination_path": str(folder / "files"), "do_timestamp_file": False}
    config.write_text(json.dumps(settings), encoding="utf-8")
    with subprocess.Popen(
        tap_command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tap:
        try:
            target = subprocess.run(
                [pipeline.plugin("target-jsonl"), "--config", config],
                env=environment,
                stdin=tap.stdout,
                capture_output=True,
                check=False,
                timeout=60,
            )
            _, log = tap.communicate(timeout=60)
        finally:
            tap.kill()
    assert (tap.returncode, target.returncode) == (0, 0), (log, target.stderr)
    return target.stdout
