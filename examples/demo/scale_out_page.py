"""Materialize all assets on Dagster's page, and take its picture: `make page`.

Chromium shows the page (Debian: `apt-get install chromium`). The services are simulators, one of
which denies a stream; Dagster, Meltano, dbt, PostgreSQL and the browser are real.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final
from urllib.request import Request, urlopen

from examples.demo.scale_out import prepare, results, step_events, wait_for, write
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS
from tests.simulator import Dataset, Simulator, Status
from tests.support.pipeline import PROJECT
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHOOLS: Final = ("north_college", "south_college")
DENIED: Final = "feed_posts"
"""A stream that the first school denies."""

ROWS, EXPORTS, WORKERS, STEPS = 60, 4, 3, 2
PICTURES: Final = PROJECT / "docs" / "images"

_ASSETS: Final = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    name location { name } assetNodes { assetKey { path } } } } } }"""
_LAUNCH: Final = """mutation($params: ExecutionParams!) {
    launchPipelineExecution(executionParams: $params) {
        __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_STATUS: Final = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


class Page:
    """The page's GraphQL interface, which its buttons use.

    Attributes:
        url: The page's address.
    """

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a query and return the data."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = Request(  # noqa: S310 - a local address
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=60) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
        if answer.get("errors"):
            raise RuntimeError(answer["errors"])
        return answer["data"]  # type: ignore[no-any-return]

    def repository(self) -> dict[str, Any] | None:
        """Return the definitions as soon as they are loaded."""
        with suppress(OSError):
            nodes = self.ask(_ASSETS)["repositoriesOrError"].get("nodes")
            return nodes[0] if nodes else None
        return None

    def materialize_all(self) -> str:
        """Do what the button "Materialize all" does, and return the run's id."""
        repository = self.repository() or {}
        selector = {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [node["assetKey"] for node in repository["assetNodes"]],
        }
        params = {"selector": selector, "mode": "default", "runConfigData": {}}
        launched = self.ask(_LAUNCH, {"params": params})["launchPipelineExecution"]
        return str(launched["run"]["runId"])

    def status(self, run: str) -> str:
        """Return the status of a run."""
        return str(self.ask(_STATUS, {"id": run})["runOrError"]["status"])

    def picture(self, path: str, file: Path, *, height: int) -> None:
        """Take a picture of a page."""
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            message = "Chromium is not installed; with Debian, run: apt-get install chromium"
            raise FileNotFoundError(message)
        with tempfile.TemporaryDirectory() as profile:
            subprocess.run(  # noqa: S603
                [
                    *(chromium, "--headless", "--no-sandbox", "--hide-scrollbars"),
                    *(f"--user-data-dir={profile}", f"--window-size=1500,{height}"),
                    *("--timeout=60000", "--virtual-time-budget=60000"),
                    *(f"--screenshot={file}", f"{self.url}{path}"),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=300,
            )


class Inbox(HTTPServer):
    """A webhook that keeps what it receives."""

    def __init__(self) -> None:
        texts = self.texts = []  # type: list[str]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                texts.append(json.loads(body)["text"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        Thread(target=self.serve_forever, daemon=True).start()


def main(programs: str) -> int:
    """Run the demo and return the exit code.

    Args:
        programs: The folder of the programs of the group `orchestrate`.
    """
    newest = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tap-campusgroups-")))
        database = stack.enter_context(postgres())
        schools = {
            schema: stack.enter_context(
                Simulator(
                    Dataset(ROWS, seed=seed, newest=newest),
                    school_code=schema.replace("_", "-"),
                    api_secret=f"secret-of-{schema}",
                    running_seconds=1,
                )
            )
            for seed, schema in enumerate(SCHOOLS)
        }
        schools[SCHOOLS[0]].inject(Status(403).on(stream=DENIED, times=None))
        workspace = prepare(
            schools,
            database,
            home,
            max_concurrent_exports=EXPORTS,
            with_models=True,
            workers=WORKERS,
            groups=["events", "people", "money", "content"],
            retries=0,
            max_age_hours={"events": 72, "users": 72},
        )
        workspace.meltano("upgrade", "database")
        parsed = workspace.meltano("invoke", "dbt-postgres", "parse")
        if parsed.code:
            write(parsed.output)
            return 1
        inbox, page, log = Inbox(), Page(), home / "dg.log"
        variables = {
            **workspace.dagster_variables(),
            "CAMPUSGROUPS_ALERT_URL": f"http://127.0.0.1:{inbox.server_port}",
        }
        command = [f"{programs}/dg", "dev", "-m", "examples.dagster.definitions"]
        command += ["--port", str(page.port), "--use-active-venv"]
        stack.enter_context(workspace.background(command, variables, log))
        try:
            wait_for(lambda: page.repository() is not None)
            write(f"The page is at {page.url}. Materialize all.")
            run = page.materialize_all()
            ends = ("SUCCESS", "FAILURE", "CANCELED")
            wait_for(lambda: page.status(run) in ends)
            wait_for(lambda: bool(inbox.texts))
        except BaseException:
            write(log.read_text(encoding="utf-8")[-5000:])
            raise
        PICTURES.mkdir(exist_ok=True)
        group = f"/locations/examples.dagster.definitions/asset-groups/{SCHOOLS[0]}"
        page.picture(group, PICTURES / "dagster-lineage.png", height=1000)
        stream = f"/assets/{SCHOOLS[0]}/events"
        page.picture(stream, PICTURES / "dagster-stream.png", height=1000)
        return report(home, schools, inbox)


def report(home: Path, schools: Mapping[str, Simulator], inbox: Inbox) -> int:
    """Compare the run with the limits and the plan; return the exit code."""
    running: set[str] = set()
    peak = peak_of_a_school = 0
    for time, step, event in step_events(home):
        write(f"  {time:%H:%M:%S}  {step.replace('__', ' / '):28} {event}")
        (running.add if event.startswith("started") else running.discard)(step)
        peak = max(peak, len(running))
        of_schools = [sum(one.startswith(name) for one in running) for name in schools]
        peak_of_a_school = max(peak_of_a_school, *of_schools)
    rows, failed = results(home)
    expected = {
        (schema, stream)
        for schema in schools
        for stream in STREAMS[ApiVersion.V1_0]
        if (schema, stream) != (SCHOOLS[0], DENIED)
    }
    exports = max(school.peak_active for school in schools.values())
    checks = {
        f"at most {peak} steps at once, limit {WORKERS}": 1 < peak <= WORKERS,
        f"at most {peak_of_a_school} steps of a school at once, limit {STEPS}": peak_of_a_school
        <= STEPS,
        f"at most {exports} exports at once at a school, limit {EXPORTS}": exports <= EXPORTS,
        f"{len(rows)} streams loaded": rows == dict.fromkeys(expected, ROWS),
        f"failed check: {failed}": set(failed) == {(SCHOOLS[0], DENIED)},
        f"alert: {inbox.texts}": [f"Stream '{DENIED}': " in text for text in inbox.texts] == [True],
    }
    for text, passed in checks.items():
        write(f"{'ok    ' if passed else 'FAILED'}  {text}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
