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
from tests.support.harness import NEWEST, settings_for
from tests.support.messages import OUTPUT_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FULL = Path("/dev/full")
RUN = ("--config", "ENV")
LIMIT = 50_000
"""Maximum size of a file in bytes; each command writes more."""

each_command = pytest.mark.parametrize(
    "arguments",
    [RUN, ("--discover",), (*RUN, "--test=schema"), ("--about",), ("--help",), ("--version",)],
    ids=" ".join,
)


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
    config = settings_for(service).items()
    return subprocess.run(
        [Path(sys.executable).with_name("tap-campusgroups"), *arguments],
        env={**os.environ, **{f"TAP_CAMPUSGROUPS_{key.upper()}": text for key, text in config}},
        stdout=files.get("stdout", subprocess.PIPE),
        stderr=files.get("stderr", subprocess.PIPE),
        preexec_fn=prepare,
        check=False,
        timeout=120,
    )


def error_of(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the only line with an error."""
    log = done.stderr.decode()
    assert "Traceback" not in log
    assert "Exception ignored" not in log
    (line,) = [line for line in log.splitlines() if " | ERROR " in line]
    return line


@each_command
def test_read_only_output_is_one_error_line(service: Simulator, arguments: tuple[str, ...]) -> None:
    with Path(os.devnull).open("rb") as unwritable:
        done = tap(service, arguments, stdout=unwritable)
    assert done.returncode == 1
    assert f"{OUTPUT_FAILED}Bad file descriptor. " in error_of(done)


def limit_files() -> None:
    """Limit the size of files, as on a disk that fills up during the run."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


@pytest.mark.parametrize("arguments", [RUN, ("--discover",), (*RUN, "--test=schema")], ids=" ".join)
def test_disk_that_fills_up_is_one_error_line_and_nothing_follows_the_cut(
    service: Simulator, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path = tmp_path / "output"
    with path.open("wb") as file:
        done = tap(service, arguments, stdout=file, prepare=limit_files)
    assert done.returncode == 1
    assert f"{OUTPUT_FAILED}File too large. " in error_of(done)
    assert path.stat().st_size == LIMIT
    if "--discover" not in arguments:
        *whole, _ = path.read_bytes().split(b"\n")
        assert all(json.loads(line)["type"] in {"SCHEMA", "RECORD", "STATE"} for line in whole)


def closed_log() -> None:
    """Close stderr."""
    os.close(2)


@pytest.mark.parametrize("arguments", [RUN, (*RUN, "--test"), ("--discover",)], ids=" ".join)
@pytest.mark.parametrize("log", ["full", "closed", "not read"])
def test_log_that_cannot_be_written_does_not_affect_the_run(
    service: Simulator, arguments: tuple[str, ...], log: str
) -> None:
    if log == "closed":
        done = tap(service, arguments, stderr=None, prepare=closed_log)
    elif log == "full":
        if not FULL.exists():
            pytest.skip("this system has no /dev/full")
        with FULL.open("wb") as full:
            done = tap(service, arguments, stderr=full)
    else:
        reader, writer = os.pipe()
        os.close(reader)
        done = tap(service, arguments, stderr=writer)
        os.close(writer)
    assert done.returncode == 0
    if arguments == RUN:
        kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
        assert kinds.count("RECORD") == 20 * 23
        assert kinds[-1] == "STATE"


@each_command
def test_closed_output_and_log_end_with_exit_code_1(
    service: Simulator, arguments: tuple[str, ...]
) -> None:
    done = tap(service, arguments, stdout=None, stderr=None, prepare=lambda: os.closerange(0, 3))
    assert done.returncode == 1
