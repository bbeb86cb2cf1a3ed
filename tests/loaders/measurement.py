"""Runs a loader over the tap's output and collects what it did."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.benchmarks.measurement import LAUNCHER
from tests.loaders import readers
from tests.loaders.comparison import HARMLESS, compare_nights, outcome
from tests.loaders.environments import SkippedError, install
from tests.loaders.nights import EMPTY, FULL, SHORT
from tests.support.pipeline import bare_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.loaders.comparison import Table
    from tests.loaders.environments import Loader
    from tests.loaders.nights import Inputs, Output
    from tests.loaders.readers import Stored
    from tests.loaders.servers import Servers, Values

Result: TypeAlias = "dict[str, Any]"

_MAX_SECONDS: Final = 900
_VANISHED_MARKS: Final = ("_sdc_deleted_at", "sdc_deleted_at")


@dataclass(frozen=True)
class Run:
    """How a loader ended.

    Attributes:
        code: Exit code; None if it did not end in time.
        states: What it wrote to stdout, line by line.
        log: What it wrote to stderr.
        cpu: User and system time, in seconds.
        peak: Peak memory in MiB.
    """

    code: int | None
    states: list[Any]
    log: str
    cpu: float
    peak: float

    @property
    def ending(self) -> str:
        """The exit code and, after a failure, the last error of the log."""
        if self.code is None:
            return f"does not end within {_MAX_SECONDS} s"
        return "exit 0" if self.code == 0 else f"exit {self.code}: {error_of(self.log)}"


def error_of(log: str) -> str:
    """Return the last line of a log that names an error, without paths of this machine."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Failure)\b", line)]
    line = (named or lines or ["no message"])[-1]
    line = re.sub(r"(/[\w.+-]+){2,}", "…", line)
    return line if len(line) <= 120 else f"{line[:120]}…"


class Trial:
    """A loader with an empty place to write to."""

    def __init__(self, loader: Loader, programs: Path, home: Path, values: Values) -> None:
        self._loader = loader
        self._program = programs / loader.executable
        self._home = home
        self._values = {**values, "programs": programs}
        self.folder = home / "stored"
        self.folder.mkdir(parents=True)
        names = {**values, "folder": str(self.folder), "home": str(home)}
        self._config = home / "config.json"
        self._config.write_text(json.dumps(_fill(loader.config, names)), encoding="utf-8")

    def run(self, output: Output) -> Run:
        """Run the loader with an output of the tap."""
        home = self._home
        names = ("input", "states", "log", "figures")
        source, states, log, figures = (home / f"{name}.txt" for name in names)
        source.write_bytes(output.data)
        figures.unlink(missing_ok=True)
        arguments: list[str | Path] = [self._program, "--config", self._config]
        arguments += self._loader.arguments
        environment = {**bare_environment(home), **self._loader.variables}
        del environment["PYTHONPATH"]  # has the tap's SDK
        with (
            source.open("rb") as stdin,
            states.open("wb") as stdout,
            log.open("wb") as stderr,
            subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LAUNCHER, figures, *arguments],
                cwd=self.folder,
                env=environment,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            ) as process,
        ):
            try:
                process.wait(_MAX_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        found = json.loads(figures.read_text()) if figures.exists() else {}
        return Run(
            code=found.get("code"),
            states=list(_json_values(states.read_text(encoding="utf-8", errors="replace"))),
            log=log.read_text(encoding="utf-8", errors="replace"),
            cpu=found.get("cpu", 0.0),
            peak=found.get("peak", 0.0),
        )

    def read(self) -> Stored:
        """Read what the loader has stored, with streams under their own names."""
        found = getattr(readers, self._loader.reader)(self.folder, self._values)
        return {name.lower(): rows for name, rows in found.items()}


def _fill(template: Any, names: Mapping[str, Any]) -> Any:
    """Replace `{name}` in all texts of a loader's settings."""
    match template:
        case str():
            whole = re.fullmatch(r"\{(\w+)\}", template)
            if whole and isinstance(names.get(whole[1]), int):
                return names[whole[1]]
            # Other braces are the loader's own.
            return re.sub(r"\{(\w+)\}", lambda found: str(names.get(found[1], found[0])), template)
        case dict():
            return {key: _fill(value, names) for key, value in template.items()}
        case list():
            return [_fill(value, names) for value in template]
        case _:
            return template


def _json_values(text: str) -> Iterator[Any]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            yield line


class Measurement:
    """One loader, with the output of the tap in one configuration.

    Args:
        loader: The loader.
        inputs: The tap's output.
        truth: The tap's output with its default settings, which has all values in their own types.
        servers: The servers.
        home: Empty folder.
        programs: Folder with the loader's command; by default, it is installed.
    """

    def __init__(
        self,
        loader: Loader,
        inputs: Inputs,
        truth: Inputs,
        *,
        servers: Servers,
        home: Path,
        programs: Path | None = None,
    ) -> None:
        self._loader = loader
        self._inputs = inputs
        self._truth = truth
        self._servers = servers
        self._home = home
        self._programs = programs
        self._count = 0

    def result(self) -> Result:
        """Run the loader with all inputs."""
        loader = self._loader
        if loader.not_run:
            return {"not_run": loader.not_run}
        try:
            found = self.measure(self.nights)
            if "error" in found:
                return found | {
                    "fails_on": [name for name in self._inputs.probes if self._fails(name)]
                }
            for question in (self.nul, self.cut, self.full, self.speed):
                found |= self.measure(question)
        except SkippedError as reason:
            return {"not_run": str(reason)}
        return found

    def measure(self, question: Callable[[Trial], Result]) -> Result:
        """Answer one of the questions below, in an empty place."""
        loader = self._loader
        requirements = [f"{loader.package}=={loader.version}", *loader.requires]
        programs = self._programs or install(loader.python, requirements)
        self._count += 1
        name = f"{re.sub('[^a-z0-9]', '', self._home.name.lower())}x{self._count}"
        with self._servers.room(loader.server, name) as values:
            return question(Trial(loader, programs, self._home / name, values))

    def nights(self, trial: Trial) -> Result:
        """Load both nights; compare after each."""
        sent = [night.records for night in self._truth.nights]
        schemas = self._truth.nights[0].schemas
        tables, runs = [], []
        for number, night in enumerate(self._inputs.nights, start=1):
            run = trial.run(night)
            runs.append(run)
            if run.code != 0:
                return {"error": run.ending, "night": number}
            stored = trial.read()
            tables.append(compare_nights(sent[:number], stored, schemas))
        first, second = tables
        return {
            "rows": {
                "sent": [sum(map(len, night.values())) for night in sent],
                "mode": second.mode,
                "lost": [one.lost for one in tables],
                "surplus": [one.surplus for one in tables],
            },
            "values": _values(first, second),
            "names": sorted(first.comparison.names),
            "empty_stream": EMPTY in stored,
            "states": _states(runs, self._inputs.nights),
        }

    def _fails(self, probe: str) -> bool:
        """Return whether the loader refuses rows of one kind of value."""
        found = self.measure(lambda trial: {"code": trial.run(self._inputs.probes[probe]).code})
        return bool(found["code"] != 0)

    def nul(self, trial: Trial) -> Result:
        """Load text with a NUL character."""
        run = trial.run(self._inputs.nul)
        if run.code != 0:
            return {"nul": run.ending}
        rows = {int(row["id"]): row for row in trial.read().get(SHORT, [])}
        sent = self._truth.nul.records[SHORT]
        if missing := len(sent) - len(rows):
            return {"nul": f"{missing} of {len(sent)} rows lost"}
        results = Counter(outcome("string", row["name"], rows[row["id"]]["name"]) for row in sent)
        return {"nul": max(results, key=lambda name: name not in HARMLESS)}

    def cut(self, trial: Trial) -> Result:
        """Load a stream that is cut in the middle of a line."""
        run = trial.run(self._inputs.cut)
        rows = trial.read().get(SHORT, [])
        return {"cut": {"code": run.code, "states": len(run.states), "rows": len(rows)}}

    def full(self, trial: Trial) -> Result:
        """Load two full reads; a row is missing from the second one."""
        before, after = self._inputs.full
        ids = [{row["id"] for row in one.records[FULL]} for one in (before, after)]
        (vanished,) = ids[0] - ids[1]
        assert "ACTIVATE_VERSION" in {one["type"] for one in after.messages}
        for output in (before, after):
            run = trial.run(output)
            if run.code != 0:
                return {"activate_version": run.ending}
        rows = [row for row in trial.read().get(FULL, []) if int(row["id"]) == vanished]
        if not rows:
            return {"activate_version": "deletes"}
        marks = [row.get(mark) for row in rows for mark in _VANISHED_MARKS]
        return {"activate_version": "marks" if any(marks) else "ignored"}

    def speed(self, trial: Trial) -> Result:
        """Load many rows."""
        run = trial.run(self._inputs.speed)
        if run.code != 0:
            return {"speed": {"error": run.ending}}
        rows = sum(map(len, self._truth.speed.records.values()))
        found = {"rows_per_cpu_second": round(rows / run.cpu), "mib": round(run.peak)}
        return {"speed": found}


def _values(first: Table, second: Table) -> Result:
    """Return the outcomes by kind of value, after the night that has more of them."""
    found: Result = {}
    for table in (first, second):
        for kind, outcomes in table.comparison.outcomes.items():
            counts = found.setdefault(kind, {"outcomes": {}})
            for name, number in outcomes.items():
                counts["outcomes"][name] = max(number, counts["outcomes"].get(name, 0))
        for kind, examples in table.comparison.examples.items():
            for name, example in examples.items():
                found[kind].setdefault("examples", {}).setdefault(name, example)
    return found


def _states(runs: Sequence[Run], nights: Sequence[Output]) -> Result:
    """Check that a loader emits states that it got, in their order, and the last one last."""
    lines, last, in_order = 0, True, True
    for run, night in zip(runs, nights, strict=True):
        sent = [json.loads(json.dumps(one, default=str)) for one in night.states]
        lines = max(lines, len(run.states))
        last = last and bool(run.states) and run.states[-1] == sent[-1]
        position = 0
        for state in run.states:
            if state not in sent[position:]:
                in_order = False
                break
            position = sent.index(state, position)
    return {"lines": lines, "last": last, "in_order": in_order}
