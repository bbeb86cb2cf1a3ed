"""Output and log that cannot be written: a full disk, a size limit, a closed file."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, environment_for
from tests.support.messages import OUTPUT_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FULL = Path("/dev/full")
RUN = ("--config", "ENV")
LIMIT = 50_000
"""Maximum size of a file in bytes; a run and `--discover` write more."""


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    """A service with some hundred kilobytes of rows."""
    with Simulator(Dataset(20, newest=NEWEST)) as simulator:
        yield simulator


def tap(
    service: Simulator,
    arguments: Sequence[str],
    *,
    prepare: Callable[[], object] | None = None,
    **files: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run the installed command.

    Args:
        service: The service.
        arguments: Arguments of the command.
        prepare: Called in the new process.
        **files: `stdout` and `stderr`, by default pipes.
    """
    return subprocess.run(
        [Path(sys.executable).with_name("tap-campusgroups"), *arguments],
        env=os.environ | environment_for(service),
        stdout=files.get("stdout", subprocess.PIPE),
        stderr=files.get("stderr", subprocess.PIPE),
        preexec_fn=prepare,
        check=False,
        timeout=120,
    )


def limit_files() -> None:
    """Limit the size of files, as on a disk that fills up during the run."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


@pytest.mark.parametrize(
    ("arguments", "output", "reason"),
    [
        (RUN, "limited", "File too large"),
        (RUN, "closed", "standard output is closed"),
        (("--discover",), "limited", "File too large"),
        pytest.param(
            *(("--about",), "full", "No space left on device"),
            marks=pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full"),
        ),
        (("--version",), "read-only", "Bad file descriptor"),
    ],
    ids=str,
)
def test_output_that_cannot_be_written_is_one_error_line_and_nothing_follows_the_cut(
    service: Simulator, tmp_path: Path, arguments: tuple[str, ...], output: str, reason: str
) -> None:
    path = FULL if output == "full" else tmp_path / "output"
    path.touch()
    prepare = {"limited": limit_files, "closed": lambda: os.close(1)}.get(output)
    with path.open("rb" if output == "read-only" else "wb") as file:
        done = tap(service, arguments, stdout=file, prepare=prepare)
    assert done.returncode == 1
    log = done.stderr.decode()
    assert "Traceback" not in log
    assert "Exception ignored" not in log
    (line,) = [line for line in log.splitlines() if " | ERROR " in line]
    assert f"{OUTPUT_FAILED}{reason}. " in line
    assert path.stat().st_size == (LIMIT if output == "limited" else 0)
    if output == "limited" and arguments != ("--discover",):
        *whole, _ = path.read_bytes().split(b"\n")
        assert {json.loads(line)["type"] for line in whole} <= {"SCHEMA", "RECORD", "STATE"}


def closed_reader() -> int:
    """Return the writing end of a pipe that nothing reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    ("arguments", "log"),
    [(RUN, "closed"), (RUN, "not read"), ((*RUN, "--test"), "closed"), (("--discover",), "closed")],
    ids=str,
)
def test_log_that_cannot_be_written_does_not_affect_the_run(
    service: Simulator, arguments: tuple[str, ...], log: str
) -> None:
    writer = closed_reader()
    prepare = (lambda: os.close(2)) if log == "closed" else None
    done = tap(service, arguments, stderr=writer, prepare=prepare)
    os.close(writer)
    assert done.returncode == 0
    if arguments == RUN:
        kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
        assert kinds.count("RECORD") == 20 * 23
        assert kinds[-1] == "STATE"


def test_closed_output_and_log_end_with_exit_code_1(service: Simulator) -> None:
    done = tap(service, RUN, stdout=None, stderr=None, prepare=lambda: os.closerange(0, 3))
    assert done.returncode == 1
