"""The tap in a pipe with target-jsonl, as the README has it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.support import pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def pipe_into_jsonl(
    tap_command: Sequence[str | Path], environment: Mapping[str, str], folder: Path, config: Path
) -> bytes:
    """Run a tap and target-jsonl to their ends, and check that both succeed.

    Args:
        tap_command: The tap, with its options.
        environment: Environment of both.
        folder: Folder of the files that are loaded.
        config: Where to write the target's settings.

    Returns:
        What the target wrote: the state.
    """
    settings = {"destination_path": str(folder), "do_timestamp_file": False}
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
