"""The files of examples/nightly, as cron and a container builder read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
NIGHTLY: Final = ROOT / "examples" / "nightly"

FOLDER: Final = "/opt/campusgroups"
"""The project's folder in the examples."""


class CronLine(NamedTuple):
    """A line of a file in /etc/cron.d."""

    schedule: str
    user: str
    command: str


def cron_line() -> CronLine:
    """Return the only job of the cron file."""
    text = (NIGHTLY / "campusgroups.cron").read_text("utf-8")
    (line,) = re.findall(r"^[\d*].*", text, re.MULTILINE)
    *schedule, user, command = line.split(maxsplit=6)
    return CronLine(" ".join(schedule), user, command)


def container_command() -> list[str]:
    """Return the command of a container."""
    (command,) = re.findall(
        r"^CMD (.*)", (NIGHTLY / "Containerfile").read_text("utf-8"), re.MULTILINE
    )
    return list(json.loads(command))


def copied_files() -> set[str]:
    """Return the files and folders that the Containerfile copies into the image."""
    text = (NIGHTLY / "Containerfile").read_text("utf-8")
    copied = re.findall(r"^COPY --\S+ (.*) \S+$", text, re.MULTILINE)
    return {word for sources in copied for word in sources.split()}
