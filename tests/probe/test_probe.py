"""The probe sees every difference of a service, agrees with one that has none, and shows no value.

It runs over HTTP against the simulator, with a clock that every wait moves on.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tap_campusgroups.config import Settings
from tap_campusgroups.probe import client, report, rows, run
from tap_campusgroups.probe.assumptions import ASSUMPTIONS
from tap_campusgroups.probe.questions import Plan
from tests.simulator import ConnectionReset, Dataset, FaultType, Simulator, Status
from tests.simulator.differences import DIFFERENCES
from tests.support.fake_time import FakeTime
from tests.support.fault_cases import PERSON
from tests.support.harness import only_error, settings_for
from tests.support.leaks import NAME, SECRET, SENTINELS, LeakyFault, leaks_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from tests.simulator import Phase
    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Response

STREAMS = ("events", "checkins")
REST = 300.0
LOGGER = logging.getLogger("tap-campusgroups")


def service(time: FakeTime, **more: Any) -> Simulator:
    """Return a service whose rows are of the last 25 days."""
    now = datetime.now(UTC)
    dataset = Dataset(
        dict.fromkeys(STREAMS, 24), newest=now - timedelta(hours=20), span=timedelta(days=25)
    )
    return Simulator(dataset, clock=time.monotonic, **more)


def probed(
    simulator: Simulator, time: FakeTime, *, sleep: Callable[[float], None] | None = None
) -> tuple[dict[str, Any], int]:
    """Probe a service; return the result and the exit code."""
    now = datetime.now(UTC)
    settings = Settings.from_config(settings_for(simulator), now)
    asking = client.ProbeClient(settings, clock=time.monotonic, sleep=sleep or time.sleep)
    plan = Plan(STREAMS, REST, tries_wrong_secret=True, now=now.replace(microsecond=0))
    return run.probe(asking, plan, LOGGER)


def results(contents: dict[str, Any]) -> dict[str, str]:
    """Return the results by the names of the assumptions."""
    return {one["name"]: one["result"] for one in contents["assumptions"]}


def test_probe_of_the_plain_simulator_agrees_throughout() -> None:
    time = FakeTime()
    with service(time, queued_polls=1, running_polls=1) as simulator:
        contents, code = probed(simulator, time)
    assert code == 0
    assert contents["ended"] == "complete"
    seen = {one["name"]: one["seen"] for one in contents["assumptions"]}
    assert {name: seen[name] for name, one in results(contents).items() if one != "agrees"} == {}
    assert contents["requests"] == len(simulator.requests) < 100
    assert simulator.peak_active <= client.MAX_EXPORTS


NAMES = [one.name for one in ASSUMPTIONS]
TOGETHER = (
    {"content type", "compression", "keep-alive", "rate limit", "clock"},
    {"unknown queryId", "wrong token", "wrong secret", "bad date", "oversized page"},
    {"date", "start in 1900", "end in the future"},
)
"""Differences of separate headers and of separate questions: one probe for each set."""
ALONE = [{name} for name in NAMES if not any(name in names for names in TOGETHER)]


@pytest.mark.parametrize("names", [*TOGETHER, *ALONE], ids=min)
def test_probe_sees_a_difference(names: set[str]) -> None:
    assert set(DIFFERENCES) == set(NAMES)
    time = FakeTime()
    with service(time) as simulator:
        for name in names:
            DIFFERENCES[name](simulator)
        contents, code = probed(simulator, time)
    assert code == 0
    differing = {name for name, one in results(contents).items() if one == "differs"}
    assert differing >= names, contents["assumptions"]
    assert len(names) == 1 or differing == names


# Limits


@pytest.mark.parametrize("waits", [0, 2, 10, 30])
def test_interrupted_probe_judges_only_what_was_seen(waits: int) -> None:
    time = FakeTime()

    def sleep(seconds: float) -> None:
        if len(time.slept) == waits:
            raise KeyboardInterrupt
        time.sleep(seconds)

    with service(time, queued_polls=1, running_polls=1) as simulator:
        contents, code = probed(simulator, time, sleep=sleep)
        assert (code, contents["ended"]) == (130, "interrupted")
        assert len(simulator.requests) == contents["requests"]
    assert set(results(contents).values()) <= {"agrees", "not seen"}
    assert results(contents)["content type"] == ("agrees" if waits else "not seen")


def test_rate_limit_is_not_taken_for_another_difference() -> None:
    time = FakeTime()
    with service(time) as simulator:
        busy = Status(429, headers={"Retry-After": "7"})
        simulator.inject(busy.on("events", "submit", times=3, after=5))
        simulator.inject(busy.on("events", "later_page", times=3))
        contents, _ = probed(simulator, time)
    assert 7.0 in time.slept
    differing = [name for name, one in results(contents).items() if one == "differs"]
    assert differing == ["rate limit"]


def test_probe_ends_at_its_limit_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_REQUESTS", 10)
    time = FakeTime()
    with service(time) as simulator:
        contents, code = probed(simulator, time)
        assert len(simulator.requests) == 10
    assert (code, contents["ended"]) == (0, "ended early (limit of 10 requests)")
    assert results(contents)["submit"] == "agrees"


def test_slow_exports_keep_their_places_and_end_the_probe() -> None:
    time = FakeTime()
    with service(time, running_seconds=10_000) as simulator:
        contents, code = probed(simulator, time)
        assert simulator.peak_active == client.MAX_EXPORTS
        assert len(simulator.requests) < 50
    assert code == 0
    assert contents["ended"] == "ended early (2 exports may still be running)"
    assert results(contents)["duration"] == "differs"


@pytest.mark.parametrize(
    ("phase", "times", "ended", "unseen"),
    [
        ("later_page", None, "complete", "token again"),
        ("submit", 1, "complete", "start in 1900"),
        ("submit", 2, "ended early (2 exports may still be running)", "lifetime"),
    ],
)
def test_question_without_response_leaves_the_others(
    phase: Phase, times: int | None, ended: str, unseen: str
) -> None:
    time = FakeTime()
    with service(time) as simulator:
        after = 5 if phase == "submit" else 0
        simulator.inject(ConnectionReset().on("events", phase, times=times, after=after))
        contents, code = probed(simulator, time)
    assert (code, contents["ended"]) == (0, ended)
    found = results(contents)
    assert found[unseen] == "not seen"
    assert found["submit"] == found["page size"] == "agrees"
    assert found["bounds"] == ("agrees" if ended == "complete" else "not seen")


# Privacy


class Regular(FaultType):
    """No fault."""

    def respond(self, context: RequestContext) -> Response:
        """Return the regular response."""
        return context.execute()


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text of more than five characters in a JSON value."""
    if isinstance(value, str) and len(value) > 5:
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts_in(one)


@pytest.mark.parametrize("is_hostile", [False, True], ids=["plain", "sentinels"])
def test_no_value_appears(caplog: pytest.LogCaptureFixture, *, is_hostile: bool) -> None:
    caplog.set_level(logging.DEBUG)
    time = FakeTime()
    with service(time, api_secret=SECRET) as simulator:
        sent = [row for stream in STREAMS for row in simulator.dataset[stream]]
        if is_hostile:
            simulator.inject(LeakyFault(Regular()).on(times=None))
            for row in sent:
                row.update(dict.fromkeys({*row} - {"id", "updatedOn"}, SENTINELS))
                row.update({PERSON: PERSON, NAME: {SECRET: NAME}, "shoeSize": SENTINELS})
        contents, _ = probed(simulator, time)
        asked = [value for one in simulator.requests for value in one.query.values()]
    output = [*report.table(contents).splitlines(), *report.markdown(contents).splitlines()]
    output.append(json.dumps(contents))
    log = [line.getMessage() for line in caplog.records]
    assert leaks_in([*output, *log]) == []
    values = {*texts_in(sent), simulator.api_secret}
    assert len(values) > 100 or is_hostile
    text = "\n".join([*output, *log])
    found = [one for one in values if one in text]  # also within a word, such as a stream's name
    assert [one for one in found if re.search(rf"\b{re.escape(one)}\b", text)] == []
    # The log of urllib3 has queryIds and the address.
    values = {*filter(lambda one: len(one) > 5, asked), simulator.school_code, simulator.url}
    assert len(values) > 30
    assert [value for value in values for line in output if value in line] == []
    assert results(contents)["convertible"] == ("differs" if is_hostile else "agrees")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-05-01T08:00:00.123Z", "9999-99-99T99:99:99.999Z"),
        ("2025-05-01 08:00:00 UTC", "9999-99-99 99:99:99 UTC"),
        ("5/1/2025", "9/9/9999"),
        ("1 May 2025", rows.OTHER_FORM),
        ("Zoe", rows.OTHER_FORM),
        ("12:30, Zoe", rows.OTHER_FORM),
        ("", rows.OTHER_FORM),
        (50 * "1", rows.OTHER_FORM),
    ],
)
def test_pattern_has_no_letter_but_those_of_a_time(text: str, expected: str) -> None:
    assert rows.pattern(text) == expected


# Command line


def invoke(folder: Path, simulator: Simulator, *options: str, **more: Any) -> Result:
    """Run the command line with the settings of a service."""
    config = folder / "config.json"
    config.write_text(json.dumps(settings_for(simulator, **more)), encoding="utf-8")
    return CliRunner().invoke(run.command(), ["--config", str(config), *options])


def test_dry_run_lists_the_requests_and_sends_none(tmp_path: Path, simulator: Simulator) -> None:
    result = invoke(tmp_path, simulator, "--dry-run", "--wait", "2")
    assert result.exit_code == 0
    assert "after 2 minutes: a queryId" in result.stdout
    assert "53  in all. Limits: 100 requests, 2 exports at once" in result.stdout
    assert simulator.requests == []


def test_command_writes_the_report_and_exits_with_0(tmp_path: Path) -> None:
    with service(FakeTime()) as simulator:
        DIFFERENCES["ids"](simulator)
        options = ("--stream", "events", "--wait", "0", "--report", str(tmp_path / "probe.json"))
        for _ in range(2):  # the second replaces the report of the first
            result = invoke(tmp_path, simulator, *options)
            assert result.exit_code == 0, result.output
    contents = json.loads((tmp_path / "probe.json").read_bytes())
    assert contents["ended"] == "complete"
    assert results(contents)["ids"] == "differs"
    assert results(contents)["wrong secret"] == "not seen"
    assert [line.split()[0] for line in result.stdout.splitlines()[1:4]] == [
        *["differs"] * 2,
        "agrees",
    ]
    assert "| differs | ids | Every row" in (tmp_path / "probe.md").read_text(encoding="utf-8")
    assert {one.name for one in tmp_path.iterdir()} == {"config.json", "probe.json", "probe.md"}


@pytest.mark.parametrize(
    ("more", "options", "line"),
    [
        ({"api_secret": "another"}, (), "the service denied access (HTTP 401, "),
        ({"api_url": "http://127.0.0.1:9"}, (), "The service cannot be probed: no response ("),
        ({"api_url": "{url}/v2"}, (), "the service cannot be probed: the service rejected"),
        ({"page_size": "0"}, (), "Invalid settings: page_size must be"),
        ({}, ("--report", "{folder}/config.json"), "config.json: another file has this name."),
        ({}, ("--report", "{folder}/probe.md"), "probe.md: the name must end with .json."),
        ({}, ("--report", "{folder}/no/probe.json"), "the folder does not exist"),
    ],
)
def test_service_that_cannot_be_probed_is_one_line_and_exit_code_1(
    tmp_path: Path,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    more: dict[str, str],
    options: tuple[str, ...],
    line: str,
) -> None:
    monkeypatch.setattr(client, "RETRY_DELAYS", (0.0,))
    options = tuple(one.format(folder=tmp_path) for one in options)
    texts = {name: str(one).format(url=simulator.url) for name, one in more.items()}
    result = invoke(tmp_path, simulator, "--wait", "0", *options, **texts)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert line in only_error(caplog)
    assert [one.name for one in tmp_path.iterdir()] == ["config.json"]
