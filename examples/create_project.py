"""Create your own Meltano project that installs the tap as a pinned package.

Usage, in a clone of this repository, which the project does not need afterwards:

    python3 examples/create_project.py FOLDER PIP_URL

PIP_URL is what `pip install` takes: an address of this repository with a tag, such as
`git+https://example.com/tap-campusgroups.git@v1.2.0`, a version, or a wheel.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).resolve().parents[1]

_COPIED: Final = ("meltano.yml", ".env.example", "examples")
_LEFT_OUT: Final = shutil.ignore_patterns(
    *("demo", "create_project.py", "__pycache__", ".env", "target", "logs")
)
_PINNED: Final = re.compile(r"git\+\S+@[\w.-]*\d[\w.-]*|tap-campusgroups(?:\[\w+\])?==\S+|\S+\.whl")
_OURS: Final = "    pip_url: -e .\n"


class ProjectError(Exception):
    """The project cannot be created; the text says why and what to do."""


def create(folder: Path, pip_url: str) -> None:
    """Create the project.

    Raises:
        ProjectError: If the folder has a project, or the package is not pinned.
    """
    if not _PINNED.fullmatch(pip_url):
        message = f"{pip_url} is not pinned: end it with a tag or a version, such as @v1.2.0."
        raise ProjectError(message)
    for name in _COPIED:
        if (folder / name).exists():
            message = f"{folder / name} exists already; name another folder."
            raise ProjectError(message)
    definition = (SOURCE / "meltano.yml").read_text("utf-8")
    if definition.count(_OURS) != 1:
        message = f"{SOURCE / 'meltano.yml'} was changed; use a fresh clone."
        raise ProjectError(message)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        source = SOURCE / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=_LEFT_OUT)
        else:
            shutil.copy(source, folder)
    changed = definition.replace(_OURS, f"    pip_url: {pip_url}\n")
    changed = changed.replace("project_id: tap-campusgroups\n", "")
    (folder / "meltano.yml").write_text(changed, "utf-8")
    (folder / ".gitignore").write_text("/.meltano/\n/.venv/\n.env\n/schools/\n/output/\n", "utf-8")


def main(arguments: list[str]) -> int:
    """Create the project of the command line and return the exit code."""
    if len(arguments) != len(("FOLDER", "PIP_URL")):
        sys.stderr.write(__doc__ or "")
        return 2
    try:
        create(Path(arguments[0]), arguments[1])
    except (ProjectError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Project created in {arguments[0]}. Next: docs/nightly.md, Set up.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
