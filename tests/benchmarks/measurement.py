"""The programs to compare, each run in a separate process, checked and measured."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final, TypeAlias

import msgspec

from tests.support.pipeline import PROJECT, bare_environment, tap_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.simulator import Simulator

Reader: TypeAlias = "Callable[[IO[bytes]], str | None]"
"""Reads a program's output to its end and returns the problem, if any."""

# A separate program, because Linux counts the memory of the parent process in the child's peak, and
# this process holds up to a million rows.
LAUNCHER: Final = """
import json, os, sys, time
began = time.monotonic()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ), 0)
figures = {
    "code": os.waitstatus_to_exitcode(status),
    "wall": time.monotonic() - began,
    "cpu": usage.ru_utime + usage.ru_stime,
    "peak": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
}
with open(sys.argv[1], "w") as file:
    json.dump(figures, file)
"""
_SLOW_BYTES_PER_SECOND: Final = 10 * 2**20


class CandidateError(Exception):
    """A candidate failed or wrote incomplete output."""

    def __init__(self, name: str, problem: str, log: str = "") -> None:
        super().__init__(f"{log}{name} {problem}.")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A program to measure.

    Attributes:
        variables: Environment variables besides those of the service.
        read: Reads the output of the measured runs. By default, it is discarded.
        prepare: Called before each measured run.
    """

    name: str
    command: Sequence[str | Path]
    folder: Path = PROJECT
    variables: Mapping[str, str] = field(default_factory=dict)
    read: Reader | None = None
    prepare: Callable[[], object] = lambda: None


PLAIN_TAP: Final = Candidate(
    "plain SDK tap", (sys.executable, "-m", "tests.benchmarks.plain_tap", "--config", "ENV")
)


@dataclass(frozen=True, eq=False)
class Series:
    """The figures of all runs of a candidate, each of which reads a number of rows.

    `cpu` is user and system time. `peak` is in MiB; of several processes, that of the largest.
    """

    name: str
    rows: int
    samples: list[dict[str, float]] = field(default_factory=list)

    def values(self, figure: str) -> list[float]:
        """Return a figure of each run."""
        return [sample[figure] for sample in self.samples]


@dataclass(frozen=True)
class Bench:
    """The options, and the runs of candidates.

    Attributes:
        home: Empty folder that serves as the candidates' home directory.
        folder: Checkout with the tap.
        against: Another checkout, with a virtual environment in `.build/venv` or `.venv`.
        scale: Factor for all numbers of rows.
        runs: Runs of each candidate; None for the scenario's default.
    """

    home: Path
    folder: Path = PROJECT
    against: Path | None = None
    scale: float = 1.0
    runs: int | None = None

    def taps(
        self, suffix: str = "", exports: int = 4, read: Reader | None = None
    ) -> list[Candidate]:
        """Return the tap with a number of exports at once, then that of the other checkout."""
        command = ("-m", "tap_campusgroups", "--config", "ENV")
        variables = {
            "TAP_CAMPUSGROUPS_MAX_CONCURRENT_EXPORTS": str(exports),
            "TAP_CAMPUSGROUPS_POLL_INTERVAL_MAX_SECONDS": "1",  # as the plain tap
        }
        python = sys.executable
        taps = [Candidate(f"tap{suffix}", [python, *command], self.folder, variables, read)]
        if self.against is not None:
            # A checkout of an earlier version has `.venv`.
            found = (self.against / name for name in (".build/venv", ".venv"))
            venv = next(folder for folder in found if folder.exists())
            (sdk,) = venv.glob("lib/python*/site-packages/singer_sdk")
            # Through a link, so that the SDK does not find a `.env` file in the folders above it.
            link = self.home / "against" / "singer_sdk"
            link.parent.mkdir(exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(sdk, target_is_directory=True)
            variables = {**variables, "PYTHONPATH": str(link.parent)}
            name = f"tap in {self.against.name}{suffix}"
            python = str(venv / "bin/python")
            taps.append(Candidate(name, [python, *command], self.against, variables, read))
        return taps

    def run(
        self, candidate: Candidate, service: Simulator | None, read: Reader | None
    ) -> dict[str, float]:
        """Run a candidate once; raise an error if it fails or the reader finds a problem."""
        settings = {} if service is None else tap_settings(service)
        file, log, problem = self.home / "figures.json", self.home / "log.txt", None
        file.unlink(missing_ok=True)
        with (
            log.open("wb") as stderr,
            subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LAUNCHER, file, *candidate.command],
                cwd=candidate.folder,
                env={**bare_environment(self.home), **settings, **candidate.variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if read is None else subprocess.PIPE,
                stderr=stderr,
            ) as process,
        ):
            if read is not None and process.stdout is not None:
                problem = read(process.stdout)
            process.communicate()
        figures = msgspec.json.decode(file.read_bytes(), type=dict[str, float])
        if code := figures.pop("code"):
            problem = f"failed with exit code {code:.0f}"
        if problem is not None:
            raise CandidateError(candidate.name, problem, log.read_text(errors="replace"))
        sys.stderr.write(f"  {candidate.name}: {figures['wall']:.1f} s\n")
        return figures

    def check(self, candidates: Sequence[Candidate], service: Simulator) -> None:
        """Check that candidates emit every row, in runs that are not measured."""
        counts = service.dataset.counts
        for candidate in candidates:
            self.run(candidate, service, lambda output: find_problem(output, counts))

    def measure(
        self, runs: Mapping[Candidate, int], service: Simulator | None = None
    ) -> list[Series]:
        """Measure candidates in turn, so that other load on the machine affects all of them."""
        rows = 0 if service is None else sum(service.dataset.counts.values())
        series = {candidate: Series(candidate.name, rows) for candidate in runs}
        for number in range(max(runs.values())):
            for candidate in [one for one, count in runs.items() if number < count]:
                candidate.prepare()
                figures = self.run(candidate, service, candidate.read)
                series[candidate].samples.append({**figures, "speed": rows / figures["cpu"]})
        return list(series.values())


class _Message(msgspec.Struct):
    type: str
    stream: str = ""


def find_problem(output: IO[bytes], expected: Mapping[str, int]) -> str | None:
    """Compare the number of records of each stream with the service's rows."""
    messages = map(msgspec.json.Decoder(_Message).decode, output)
    found = Counter(message.stream for message in messages if message.type == "RECORD")
    return None if found == Counter(expected) else f"emitted {found} for {expected}"


def read_slowly(output: IO[bytes]) -> str | None:
    """Read output at 10 MiB per second, as a slow loader does."""
    began, size = time.monotonic(), 0
    while chunk := output.read(2**16):
        size += len(chunk)
        time.sleep(max(0.0, began + size / _SLOW_BYTES_PER_SECOND - time.monotonic()))
    return None
