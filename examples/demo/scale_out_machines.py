"""Run the steps of three schools on two machines, and kill one of them: `make machines`.

The machines are namespaces of Linux: each has a folder, processes and a loopback interface of its
own, and reaches only PostgreSQL, Redis and the schools. It needs root, and the programs
`redis-server` and `socat` (Debian: `apt-get install redis-server socat`).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml

from examples.demo.scale_out import prepare, wait_for, write
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS
from tests.simulator import Dataset, Simulator, StillRunning
from tests.support.pipeline import database_states
from tests.support.postgres import postgres, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.pipeline import Workspace
    from tests.support.postgres import Postgres

SCHOOLS: Final = ("north", "south", "west")
GROUPS: Final = ("events", "people", "money", "content")
ROWS, EXPORTS, SLOTS = 40, 4, 2
"""Rows per stream, limit of exports per school, and steps that a machine runs at once."""

VISIBILITY_SECONDS: Final = 240
"""When Redis gives the steps of a lost machine to another one; longer than a step."""

_ENTER: Final = """
set -e
ip link set lo up
mount --bind "$1" "$2"
for port in $3; do
    socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" "UNIX-CONNECT:$4/$port" &
done
cd "$2/project"
shift 4
exec "$@"
"""
_EVENTS: Final = """
    SELECT timestamp, step_key, dagster_event_type, event FROM event_logs
    WHERE step_key IS NOT NULL AND dagster_event_type IN
        ('STEP_START', 'STEP_RESTARTED', 'STEP_SUCCESS', 'STEP_FAILURE', 'ENGINE_EVENT')
    ORDER BY id
"""
_NAMES: Final = {
    "STEP_START": "started",
    "STEP_RESTARTED": "started again",
    "STEP_SUCCESS": "succeeded",
    "STEP_FAILURE": "failed",
}


@dataclass(frozen=True)
class StepEvent:
    """A start or end of a step.

    Attributes:
        time: When.
        step: The step's key.
        name: What happened; `machine …` if a worker took the step.
    """

    time: datetime
    step: str
    name: str


class Cluster:
    """Machines that share a database server, a broker and the schools."""

    def __init__(self, home: Path, programs: str, storage: Postgres, ports: list[int]) -> None:
        self.home = home
        self.storage = storage
        self._programs = programs
        self._ports = ports
        self._variables: dict[str, str] = {}
        self.inside = home / "machine"
        self.inside.mkdir()
        self.gateway = home / "gateway"
        self.gateway.mkdir()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def create(self, workspace: Workspace, broker: str) -> None:
        """Take the settings of all machines from a workspace."""
        folder = self.home / "plan"
        self._variables = {
            name: value.replace(str(folder), str(self.inside))
            for name, value in {**workspace.environment, **workspace.dagster_variables()}.items()
        }
        self._variables |= {
            "CAMPUSGROUPS_CELERY": f"{self.inside}/celery.yaml",
            "CELERY_BROKER_URL": broker,
            "DAGSTER_DATABASE_URL": self.storage.url,
            "PATH": f"{self._programs}:{workspace.environment['PATH']}",
        }
        celery = yaml.safe_load((workspace.folder / "examples/dagster/celery.yaml").read_text())
        options = celery["execution"]["config"]["config_source"]["broker_transport_options"]
        options["visibility_timeout"] = VISIBILITY_SECONDS
        (folder / "celery.yaml").write_text(yaml.safe_dump(celery), encoding="utf-8")
        instance = folder / "dagster/dagster.yaml"
        settings = yaml.safe_load(instance.read_text(encoding="utf-8"))
        settings["storage"] = {"postgres": {"postgres_url": {"env": "DAGSTER_DATABASE_URL"}}}
        instance.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Run a command on a machine; a new machine has a copy of the folder of the plan."""
        folder = self.home / name
        if not folder.exists():
            shutil.copytree(self.home / "plan", folder, symlinks=True)
        namespaces = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        arguments = (str(folder), str(self.inside), " ".join(map(str, self._ports)))
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                [
                    *("unshare", *namespaces, "sh", "-c", _ENTER, "sh"),
                    *(*arguments, str(self.gateway), *command),
                ],
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def start_worker(self, name: str) -> None:
        """Start a worker that runs `SLOTS` steps at once."""
        self.start(
            name,
            *("dagster-celery", "worker", "start", "-A", "dagster_celery.app"),
            *("-y", f"{self.inside}/celery.yaml", "-n", name, "--", f"--concurrency={SLOTS}"),
        )

    def launch(self, name: str, *selection: str) -> subprocess.Popen[bytes]:
        """Start a run, as the page or a schedule would."""
        return self.start(name, "dg", "launch", "-m", "examples.dagster.definitions", *selection)

    def kill(self, name: str) -> None:
        """Kill all processes of a machine at once, as a power failure does."""
        process = self.processes.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End all machines."""
        for name in list(self.processes):
            with suppress(ProcessLookupError):
                self.kill(name)

    def log(self, name: str) -> str:
        """Return what a machine has printed."""
        return (self.home / name / "log").read_text(encoding="utf-8", errors="replace")

    def events(self) -> list[StepEvent]:
        """Return the starts and ends of all steps in Dagster's event log."""
        with self.storage.connect() as connection:
            exists = connection.execute("SELECT to_regclass('event_logs') IS NOT NULL").fetchone()
            found = connection.execute(_EVENTS).fetchall() if exists == (True,) else []
        return list(_events(found))


def _events(found: list[tuple[Any, ...]]) -> Iterator[StepEvent]:
    for time, step, kind, text in found:
        worker = "Executing steps" in text and re.search(r"(machine-\d)@", text)
        name = _NAMES.get(kind) or (worker and worker[1])
        if name:
            yield StepEvent(time.replace(tzinfo=UTC), step, name)


def main(programs: str) -> int:
    """Run the demo and return the exit code.

    Args:
        programs: The folder of the programs of the group `machines`.
    """
    newest = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tap-campusgroups-")))
        server = stack.enter_context(postgres_server())
        database, storage = (stack.enter_context(postgres(server)) for _ in range(2))
        schools = {
            schema: stack.enter_context(
                Simulator(
                    Dataset(ROWS, seed=seed, newest=newest),
                    school_code=f"{schema}-college",
                    api_secret=f"secret-of-{schema}",
                    running_seconds=2,
                )
            )
            for seed, schema in enumerate(SCHOOLS)
        }
        (home / "plan").mkdir()
        workspace = prepare(
            schools,
            database,
            home / "plan",
            max_concurrent_exports=EXPORTS,
            workers=1,  # not used: the machines have `SLOTS`
            groups=list(GROUPS),
            retries=0,
        )
        workspace.meltano("upgrade", "database")
        redis = _free_port()
        ports = [redis, *(urlsplit(school.url).port or 0 for school in schools.values())]
        cluster = Cluster(home, programs, storage, ports)
        stack.callback(cluster.close)
        for words in (
            ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", ""],
            *(
                ["socat", f"UNIX-LISTEN:{cluster.gateway}/{port},fork", f"TCP:127.0.0.1:{port}"]
                for port in ports
            ),
        ):
            process = stack.enter_context(
                subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=home)  # noqa: S603
            )
            stack.callback(process.kill)
        cluster.create(workspace, f"redis://127.0.0.1:{redis}/0")
        try:
            checks = night(cluster, schools, database)
        except TimeoutError:
            for name in ("machine-1", "machine-2", "office"):
                write(f"--- {name}\n{cluster.log(name)[-3000:]}")
            raise
    for text, passed in checks.items():
        write(f"{'ok    ' if passed else 'FAILED'}  {text}")
    return 0 if all(checks.values()) else 1


def night(
    cluster: Cluster, schools: Mapping[str, Simulator], database: Postgres
) -> dict[str, bool]:
    """Run all groups, kill a machine, refuse a second run; return what holds."""
    write(f"{len(SCHOOLS)} schools, {len(GROUPS)} groups, two machines with {SLOTS} steps each.")
    # The exports of one school are not ready before the machine that reads them is killed.
    killed = Event()
    schools["north"].inject(StillRunning(killed.is_set).on(times=None))
    for name in ("machine-1", "machine-2"):
        cluster.start_worker(name)
    run = cluster.launch("office", "--job", "campusgroups")
    wait_for(lambda: len(_running(cluster, "north")) > 1 and schools["north"].active > SLOTS)
    (step, machine), (other, other_machine), *_ = _running(cluster, "north").items()
    if machine == other_machine:
        message = f"both steps of north run on {machine}; try again"
        raise TimeoutError(message)
    victims = [one for one, on in _running(cluster).items() if on == machine]
    kill_step(other)
    cluster.kill(machine)
    killed_at = datetime.now(UTC)
    write(f"  {killed_at:%H:%M:%S}  {machine} is killed during {', '.join(sorted(victims))}")
    write(f"  {killed_at:%H:%M:%S}  the process of {other} on {other_machine} is killed")
    killed.set()
    cluster.start_worker(machine)
    wait_for(lambda: run.poll() is not None)
    first = cluster.events()
    for event in first:
        write(f"  {event.time:%H:%M:%S}  {event.step.replace('__', ' / '):18} {event.name}")
    refusal = second_run(cluster, schools["west"])
    machines = {event.name for event in first if event.name.startswith("machine")}
    succeeded = {event.step for event in first if event.name == "succeeded"}
    again = {
        one: [event for event in first if event.step == one and event.name == "started"]
        for one in (step, other)
    }
    peaks = {schema: school.peak_active for schema, school in schools.items()}
    missing, twice = compare(schools, database)
    states = database_states(database)
    return {
        f"steps ran on {', '.join(sorted(machines))}": len(machines) > 1,
        f"{len(succeeded)} steps succeeded": len(succeeded) == len(SCHOOLS) * len(GROUPS),
        **{
            f"{one} started again {_seconds(killed_at, starts)} s after the kill, on"
            f" {_last_machine(first, one)}": bool(starts[1:])
            for one, starts in again.items()
        },
        f"{missing} rows missing, {twice} twice": missing == twice == 0,
        f"exports at once: {peaks}, limit {EXPORTS}": max(peaks.values()) <= EXPORTS,
        f"second run: {refusal}": refusal.startswith("Another run of group 'money'"),
        f"{len(states)} states with a bookmark for each stream": len(states) == len(succeeded)
        and all(all(one["bookmarks"].values()) for one in states.values()),
    }


def kill_step(step: str) -> None:
    """Kill the process of a step, as the system does when memory runs out, but not its children."""
    school, group = step.split("__")
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            if f"--state-id-suffix={school}-college" in words and group in words:
                status = (folder / "status").read_text(encoding="utf-8")
                (parent,) = re.findall(r"^PPid:\s+(\d+)$", status, re.MULTILINE)
                os.kill(int(parent), signal.SIGKILL)
                return
    message = f"{step} has no process"
    raise TimeoutError(message)


def second_run(cluster: Cluster, school: Simulator) -> str:
    """Start a group twice at the same time, and return why the second run failed."""
    ended = Event()
    school.inject(StillRunning(ended.is_set).on(times=None))
    select = ("--assets", "group:west and tag:job=money")
    one = cluster.launch("office", *select)
    wait_for(lambda: school.active)
    other = cluster.launch("home-office", *select)
    wait_for(lambda: other.poll() is not None)
    ended.set()
    wait_for(lambda: one.poll() is not None)
    reasons = re.findall(r"Failure: (.*)", cluster.log("home-office"))
    return reasons[-1] if one.returncode == 0 and other.returncode and reasons else "not refused"


def _running(cluster: Cluster, school: str = "") -> dict[str, str]:
    """Return the running steps of a school and their machines."""
    running: dict[str, str] = {}
    started = set()
    for event in cluster.events():
        if event.name.startswith("machine"):
            running[event.step] = event.name
        elif event.name == "started":
            started.add(event.step)
        else:
            running.pop(event.step, None)
    return {step: on for step, on in running.items() if step in started and step.startswith(school)}


def _seconds(since: datetime, starts: list[StepEvent]) -> int:
    return round((starts[-1].time - since).total_seconds())


def _last_machine(events: list[StepEvent], step: str) -> str:
    return [e.name for e in events if e.step == step and e.name.startswith("machine")][-1]


def compare(schools: Mapping[str, Simulator], database: Postgres) -> tuple[int, int]:
    """Return how many rows of the schools PostgreSQL lacks, and how many it has twice."""
    missing = twice = 0
    for schema, school in schools.items():
        for stream in STREAMS[ApiVersion.V1_0]:
            ids = [row["id"] for row in database.rows(schema, stream)]
            missing += len({row["id"] for row in school.dataset[stream]} - set(ids))
            twice += len(ids) - len(set(ids))
    return missing, twice


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
