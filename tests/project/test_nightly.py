"""The files of examples/nightly agree with each other and with the project."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from examples.nightly.report import main
from tests.simulator import Status
from tests.support import documents, nightly
from tests.support.harness import NEWEST, only, read_in_full, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulator import Simulator


FIRST, LAST = "tags", "users"


def unit(name: str) -> ConfigParser:
    """Read a systemd unit."""
    parser = ConfigParser(interpolation=None, comment_prefixes="#", delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((nightly.NIGHTLY / name).read_text("utf-8"))
    return parser


def test_cron_service_timer_and_page_agree_with_the_schedule() -> None:
    (schedule,) = yaml.safe_load(documents.read("meltano.yml"))["schedules"]
    line, service = nightly.cron_line(), unit("campusgroups.service")["Service"]
    folder, _, rest = line.command.partition(" && ")
    command, _, _ = rest.partition(" >>")
    assert folder == f"cd {nightly.FOLDER}"
    assert service["ExecStart"] == f"/usr/bin/{command}"
    assert (service["User"], service["WorkingDirectory"]) == (line.user, nightly.FOLDER)
    assert "%" not in command  # a line break in a crontab
    page = documents.read("docs/nightly.md")
    assert command in documents.section("docs/nightly.md", "cron")
    assert command.replace("--verbose ", "") in documents.section(
        "docs/nightly.md", "By hand, over ssh"
    )
    state_id, options = re.findall(r" examples/nightly/run\.py (\S+) (.*)", command)[0]
    assert f"meltano state get {state_id} " in page
    assert options == f"--force {schedule['job']}"
    assert nightly.container_command()[1:] == [
        "examples/nightly/run.py",
        state_id,
        schedule["job"],
    ]
    assert line.schedule == schedule["interval"]
    minute, hour, *_ = schedule["interval"].split()
    calendar = unit("campusgroups.timer")["Timer"]["OnCalendar"]
    assert calendar == f"*-*-* {hour:0>2}:{minute:0>2}"


def test_failed_service_starts_an_alert_that_mails_the_exit_code(tmp_path: Path) -> None:
    alert = unit("campusgroups.service")["Unit"]["OnFailure"]
    programs = {
        "systemctl": "#!/bin/sh\necho ExecMainStatus=75 $3\n",
        "mail": "#!/bin/sh\ncat\necho to $3\n",
        ".venv/bin/python": "#!/bin/sh\necho $1\n",
    }
    for name, script in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(script, "utf-8")
        (tmp_path / name).chmod(0o755)
    service = unit(alert)["Service"]
    assert service["WorkingDirectory"] == nightly.FOLDER
    mailed = subprocess.run(
        shlex.split(service["ExecStart"]),
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert mailed.stdout.splitlines() == [
        "ExecMainStatus=75 campusgroups.service",
        "examples/nightly/report.py",
        "to data-team@example.edu",
    ]


def test_mail_and_metrics_say_what_the_report_says(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """With a stream that failed, and one whose deleted rows stay."""
    path = tmp_path / "run-report.json"
    monkeypatch.setenv("MELTANO_SYS_DIR_ROOT", str(tmp_path))
    simulator.inject(Status(400).on(LAST, times=None))
    simulator.dataset[FIRST][1]["shoeSize"] = 44
    end = (NEWEST + timedelta(hours=1)).isoformat()
    config = settings_for(simulator, run_report=str(path), end_date=end)
    output = sync(config, catalog=read_in_full(only(FIRST, LAST), FIRST))
    reason = "end_date is set. Unset it."
    assert [one["deleted_rows_stay"] for one in json.loads(path.read_bytes())["streams"]] == [
        reason,
        None,
    ]
    capsys.readouterr()
    main()
    withheld = f"Stream '{FIRST}': deleted rows stay in the target, because {reason}"
    assert capsys.readouterr().out.splitlines() == [str(output.error), withheld]

    main("--metrics")
    lines = capsys.readouterr().out.splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("# "))
    assert [float(value) for value in samples.values()]
    assert samples["campusgroups_run_exit_code"] == "1"
    found = {
        name: [
            samples.get(f'campusgroups_stream_{name}{{stream="{one}"}}') for one in (FIRST, LAST)
        ]
        for name in ("rows", "windows", "windows_done", "issues", "failed", "deleted_rows_stay")
    }
    assert found == {
        "rows": ["5", "0"],
        "windows": ["1", "1"],
        "windows_done": ["1", "0"],
        "issues": ["1", "0"],
        "failed": ["0", "1"],
        "deleted_rows_stay": ["1", "0"],
    }
    names = [re.split("[ {]", line)[0] for line in lines if not line.startswith("# ")]
    helps = [line.split()[2] for line in lines if line.startswith("# HELP ")]
    assert list(dict.fromkeys(names)) == helps  # the lines of a metric stand together


def test_mail_without_a_report_says_that_the_tap_was_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("MELTANO_SYS_DIR_ROOT", str(tmp_path))
    main()
    assert capsys.readouterr().out == "The tap wrote no run report: it was not started.\n"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is missing")
def test_systemd_accepts_the_units() -> None:
    units = sorted(nightly.NIGHTLY.glob("*.service")) + sorted(nightly.NIGHTLY.glob("*.timer"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    problems = [line for line in verified.stderr.splitlines() if str(nightly.NIGHTLY) in line]
    assert (verified.returncode, problems) == (0, []), verified.stderr


def test_image_has_the_files_that_meltano_needs_and_not_the_tap_s_source() -> None:
    """From source without git, the tap would not know its version."""
    project = yaml.safe_load(documents.read("meltano.yml"))
    needed = {"meltano.yml"}
    program = nightly.container_command()[1]
    logging = re.findall(r"PROJECT_ROOT/(examples/logging/.*)", documents.read("meltano.yml"))
    assert nightly.copied_files() == {
        *(needed | {program, program.replace("run.py", "report.py")}),
        *(path.removeprefix("./") for path in project["include_paths"]),
        *logging,
    }


def test_meltano_has_the_same_bounds_everywhere() -> None:
    pages = (
        "pyproject.toml",
        "docs/nightly.md",
        "docs/upgrades.md",
        "examples/nightly/Containerfile",
    )
    found = [
        re.findall(r'"meltano(?:\[postgres\])?([<>=].*?)"', documents.read(page)) for page in pages
    ]
    assert [len(bounds) for bounds in found] == [2, 1, 1, 1]
    assert len({bound for bounds in found for bound in bounds}) == 1
