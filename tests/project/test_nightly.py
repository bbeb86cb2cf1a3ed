"""The files of examples/nightly agree with each other and with the project."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support import documents, nightly

if TYPE_CHECKING:
    from pathlib import Path


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
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(script, "utf-8")
        (tmp_path / name).chmod(0o755)
    mailed = subprocess.run(
        shlex.split(unit(alert)["Service"]["ExecStart"]),
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert mailed.stdout.splitlines() == [
        "ExecMainStatus=75 campusgroups.service",
        "to data-team@example.edu",
    ]


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
    assert nightly.copied_files() == needed | {program} | {
        path.removeprefix("./") for path in project["include_paths"]
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
