"""The loaders of `loaders.toml`, each installed in a separate environment."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.support.pipeline import PROJECT, bare_environment

ENVIRONMENTS: Final = PROJECT / ".build" / "loaders"
"""Cache of the environments; git ignores it."""

_LIST: Final = Path(__file__).with_name("loaders.toml")
_INSTALL_SECONDS: Final = 900


class SkippedError(Exception):
    """A loader cannot run on this machine."""


@dataclass(frozen=True)
class Loader:
    """A loader in one configuration.

    Attributes:
        name: Name of this configuration.
        package: Distribution on the package index.
        version: Its version.
        python: Version of Python that it runs on.
        requires: Further requirements of its environment.
        executable: Its command.
        reader: Function of `readers.py` that reads what it stored.
        server: Function of `servers.py` with its server, if it needs one.
        config: Its settings; `{name}` is replaced, see `measurement.py`.
        variables: Environment variables.
        arguments: Arguments besides `--config`.
        note: What a user should know besides the results.
        avoid: Whether it is not recommended, whatever the results are.
        not_run: Why it is listed and not run.
    """

    name: str
    package: str
    version: str
    python: str = "3.11"
    requires: tuple[str, ...] = ()
    executable: str = ""
    reader: str = ""
    server: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    note: str = ""
    avoid: bool = False
    not_run: str = ""


def loaders() -> list[Loader]:
    """Return all loaders in the order of the file."""
    content = tomllib.loads(_LIST.read_text(encoding="utf-8"))
    return msgspec.convert(content["loader"], list[Loader])


def install(python: str, requirements: list[str]) -> Path:
    """Return the `bin` folder of an environment, which is created at the first call.

    Raises:
        SkippedError: This Python is missing, or the packages cannot be installed.
    """
    interpreter = _interpreter(python)
    key = hashlib.sha256(" ".join([python, *requirements]).encode()).hexdigest()[:8]
    folder = ENVIRONMENTS / f"{requirements[0].partition('=')[0].partition('[')[0]}-{key}"
    if not (folder / ".ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        _run([interpreter, "-m", "venv", folder])
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        _run([*pip, "--disable-pip-version-check", *requirements])
        (folder / ".ready").touch()
    return folder / "bin"


def _run(command: list[str | Path]) -> None:
    # Pip's own settings stay: a machine may reach packages only through a mirror.
    pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    environment = {**bare_environment(ENVIRONMENTS), **pip}
    del environment["PYTHONPATH"]
    try:
        finished = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        message = f"does not install within {_INSTALL_SECONDS} s"
        raise SkippedError(message) from None
    if finished.returncode:
        output = (finished.stderr or finished.stdout).splitlines() or ["no message"]
        lines = [line for line in output if line.startswith("ERROR")] or output
        message = f"does not install: {lines[-1].removeprefix('ERROR: ')}"
        raise SkippedError(message)


def _interpreter(version: str) -> str | Path:
    """Find a Python of a version: this one, on the path, or one of pyenv."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [
        shutil.which(f"python{version}"),
        *sorted(pyenv.glob(f"versions/{version}.*/bin/python")),
    ]
    for path in found:
        # A command on the path can be pyenv's, which fails unless the version is chosen.
        if path and subprocess.run([path, "-V"], capture_output=True, check=False).returncode == 0:
            return path
    message = f"needs Python {version}"
    raise SkippedError(message)
