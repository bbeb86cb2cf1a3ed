"""The files of examples/nightly, as cron and a container builder read them."""

from __future__ import annotations

import json
import re
import shlex
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


def container_lines(instruction: str) -> list[str]:
    """Return the arguments of an instruction of the Containerfile, one text per line."""
    text = (NIGHTLY / "Containerfile").read_text("utf-8")
    return re.findall(rf"^{instruction} (.*)", text, re.MULTILINE)


def container_command() -> list[str]:
    """Return the arguments of Meltano in a container."""
    (command,) = container_lines("CMD")
    return list(json.loads(command))


def container_environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    return dict(word.split("=") for line in container_lines("ENV") for word in shlex.split(line))


def copied_files() -> list[tuple[Path, Path]]:
    """Return the files and folders that the image contains, and the folder of each in it."""
    found = []
    for line in container_lines("COPY"):
        *sources, destination = [word for word in line.split() if not word.startswith("--")]
        for name in sources:
            source = ROOT / name
            # The content of a folder is copied, not the folder.
            parent = Path(destination).parent if source.is_dir() else Path(destination)
            found.append((source, parent))
    return found
