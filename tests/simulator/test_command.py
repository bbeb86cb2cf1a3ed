"""The simulator as a program: what it prints, faults as text, late rows."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import pytest
import requests

from tests.simulator import CancelQuery, Dataset, EmptyPage, Simulator, Status
from tests.simulator.__main__ import LATENESS, add_late_rows, create_parser, main
from tests.simulator.fault_syntax import FAULTS, SYNTAX_HELP, parse_fault
from tests.support.api_client import EVERYTHING, NEWEST, ApiClient, ids
from tests.support.harness import MAX_RETRY_DELAY as TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
README = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")


class Program:
    """The simulator in a process.

    Attributes:
        lines: The lines that it has printed.
    """

    def __init__(self, *arguments: str) -> None:
        """Start it and wait until it serves."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulator", *arguments],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        self.lines: list[str] = []
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            if not line.strip() and "output.jsonl" in self.lines[-2]:
                break  # the last line of the introduction: nothing is left in the read buffer
        facts = dict(
            re.findall(r"^  (URL|school|secret) +(\S+)$", "\n".join(self.lines), re.MULTILINE)
        )
        self.url = facts["URL"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(
            {"X-CG-API-Secret": facts["secret"], "X-CG-School": facts["school"]}
        )

    def stop(self) -> int:
        """Send SIGTERM; return the exit code and keep the remaining lines."""
        self.session.close()
        self._process.send_signal(signal.SIGTERM)
        rest, _ = self._process.communicate(timeout=TIMEOUT)
        self.lines += rest.splitlines()
        return self._process.returncode

    def kill(self) -> None:
        """End it in any case."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def run(*arguments: str) -> Iterator[Program]:
    """Run the program."""
    program = Program(*arguments)
    try:
        yield program
    finally:
        program.kill()


def test_program_prints_access_and_serves_until_sigterm() -> None:
    with run(
        "--rows", "events=30,users=2", "--school", "elsewhere", "--secret", "s3cret"
    ) as program:
        reply = program.session.post(f"{program.url}/events", params=EVERYTHING, timeout=TIMEOUT)
        page = program.session.get(f"{program.url}/events", params=reply.json(), timeout=TIMEOUT)
        assert len(page.json()["Results"]) == 30
        (command,) = (line for line in program.lines if line.endswith("--test"))
        assert json.loads(Path(command.split()[2]).read_text()) == {
            "api_url": program.url,
            "school_code": "elsewhere",
            "api_secret": "s3cret",
        }
        assert program.stop() == 0
        assert not Path(command.split()[2]).exists()
        assert program.lines[-1] == ""
        assert program.lines[-2] == command.replace("--test", "> output.jsonl")


def test_log_shows_requests_responses_and_faults() -> None:
    with run(
        *("--rows", "20", "--newest", "2026-01-31", "--running", "60", "--log-requests"),
        *("--fault", "events: HTTP 503 on submit"),
    ) as program:
        answers = [
            program.session.post(f"{program.url}/events", params=EVERYTHING, timeout=TIMEOUT)
            for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [503, 200]
        program.session.get(f"{program.url}/events", params=answers[1].json(), timeout=TIMEOUT)
        assert program.stop() == 0
        target = "/data/v1/events?updatedStart=2020-01-01&updatedEnd=2030-01-01T00%3A00%3A00Z"
        query_id = answers[1].json()["queryId"]
        assert [
            line for line in program.lines if line.startswith(("POST", "GET", "  20", "  50"))
        ] == [
            f"POST {target}",
            '  503 {"message":"Service Unavailable"}  [Status]',
            f"POST {target}",
            f'  200 {{"queryId":"{query_id}"}}',
            f"GET /data/v1/events?queryId={query_id}",
            '  202 {"message":"Accepted query and is running"}',
        ]


def test_transcript_in_the_readme_is_what_the_program_prints() -> None:
    with run(
        *("--rows", "events=12", "--newest", "2026-01-31", "--running", "1", "--log-requests")
    ) as program:
        url = f"{program.url}/events"
        window = {"updatedStart": "2024-09-01", "updatedEnd": "2026-02-01"}
        query = program.session.post(url, params=window, timeout=TIMEOUT).json()
        pages = []

        def is_page() -> bool:
            pages.append(program.session.get(url, params={**query, "size": 8}, timeout=TIMEOUT))
            return pages[-1].status_code == 200

        while not is_page():
            sleep(0.2)  # more polls would fill the pipe with log lines, which are read later
        token = pages[-1].json()["NextToken"]
        last = program.session.get(
            url, params={**query, "size": 8, "token": token}, timeout=TIMEOUT
        )
        assert len(last.json()["Results"]) == 4
        assert program.stop() == 0
        start = next(place for place, line in enumerate(program.lines) if line.startswith("POST"))
        pairs = list(zip(program.lines[start::2], program.lines[start + 1 :: 2], strict=True))
        seen = list(dict.fromkeys(pairs))  # one poll stands for all
        transcript = README.split("```text\n")[1].split("```")[0]
        assert transcript == "".join(f"{request}\n{response}\n" for request, response in seen)


def test_help_documents_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert SYNTAX_HELP in capsys.readouterr().out
    for name in FAULTS:
        assert f"| `{name}` |" in README


@pytest.mark.parametrize(
    "arguments", [["--rows", "many"], ["--newest", "soon"], ["--fault", "nonsense"]]
)
def test_invalid_argument_is_rejected(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        create_parser().parse_args(arguments)


def test_fault_for_an_unknown_stream_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--fault", "event: reset"])
    assert "no such stream: event" in capsys.readouterr().err


# Faults as text


def test_fault_with_all_parts_is_parsed() -> None:
    fault = parse_fault("events: HTTP 503 on page 4, 3 times")
    assert fault.type == Status(503)
    assert (fault.stream, fault.phase, fault.after, fault.times) == ("events", "later_page", 2, 3)


def test_fault_with_defaults_hits_any_request_once() -> None:
    fault = parse_fault("query cancelled")
    assert isinstance(fault.type, CancelQuery)
    assert (fault.stream, fault.phase, fault.after, fault.times) == (None, None, 0, 1)


@pytest.mark.parametrize(
    ("text", "phase"), [("submit", "submit"), ("poll", "poll"), ("page 1", "first_page")]
)
def test_fault_on_a_phase_is_parsed(text: str, phase: str) -> None:
    fault = parse_fault(f"empty page on {text}, always")
    assert isinstance(fault.type, EmptyPage)
    assert (fault.phase, fault.times) == (phase, None)


@pytest.mark.parametrize("name", FAULTS)
def test_every_named_fault_is_parsed(name: str) -> None:
    assert parse_fault(f"users: {name}").type is FAULTS[name][0]


@pytest.mark.parametrize(
    "text",
    ["", "events:", "HTTP 99", "events: nothing", "reset on page 0", "reset, 0 times", "reset on"],
)
def test_text_that_is_not_a_fault_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is not a fault"):
        parse_fault(text)


# Late rows


def test_late_rows_appear_after_a_complete_export() -> None:
    dataset = Dataset({"events": 20}, newest=NEWEST)
    late = f"{NEWEST - LATENESS:%Y-%m-%dT%H:%M:%SZ}"
    end = f"{NEWEST:%Y-%m-%dT%H:%M:%S.%fZ}"
    with Simulator(dataset) as simulator:
        client = ApiClient(simulator)
        add_late_rows(simulator, 2)
        recent = f"{NEWEST - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        assert ids(client.rows("events", updatedStart=recent, updatedEnd=end)) == [1]
        first_page = client.get("events", client.submit("events"), size=7)
        assert "NextToken" in first_page.json()
        assert len(client.rows("events")) == 20
        found = client.rows("events", updatedStart=late, updatedEnd=end)
        assert {21, 22} <= set(ids(found))
        assert len(client.rows("events")) == 22
