"""The programs that the benchmarks compare, and their configuration."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tests.support.pipeline import PROJECT, bare_environment, plugin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.simulator import Simulator

TAP: Final = "tap-campusgroups"


@dataclass(frozen=True)
class Candidate:
    """A program to measure.

    Attributes:
        name: Label in tables.
        arguments: Arguments of the interpreter.
        prefix: Prefix of the environment variables with its settings.
        settings: Settings in addition to those of the service.
        folder: Working directory; modules are imported from here first.
        python: Interpreter that runs the program.
        variables: Additional environment variables.
    """

    name: str
    arguments: tuple[str, ...]
    prefix: str
    settings: Mapping[str, str] = field(default_factory=dict)
    folder: Path = PROJECT
    python: str = sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self, home: Path, simulator: Simulator | None) -> dict[str, str]:
        """Return its environment variables, which include none of the user's settings."""
        settings = dict(self.settings)
        if simulator is not None:
            settings |= {
                "api_url": simulator.url,
                "api_secret": simulator.api_secret,
                "school_code": simulator.school_code,
            }
        variables = {f"{self.prefix}{name.upper()}": value for name, value in settings.items()}
        return bare_environment(home) | variables | dict(self.variables)


def tap(
    folder: Path,
    *arguments: str,
    name: str = TAP,
    settings: Mapping[str, str] | None = None,
) -> Candidate:
    """Return the tap of a checkout, which without arguments syncs all streams."""
    command = ("-m", "tap_campusgroups", *(arguments or ("--config", "ENV")))
    return Candidate(name, command, "TAP_CAMPUSGROUPS_", settings or {}, folder)


def other_tap(folder: Path, home: Path) -> Candidate:
    """Return the tap of a checkout that has its own virtual environment, `.venv`."""
    (sdk,) = folder.glob(".venv/lib/python*/site-packages/singer_sdk")
    # Through a link, so that the SDK does not find a `.env` file in the folders above it.
    modules = home / "other"
    modules.mkdir()
    (modules / "singer_sdk").symlink_to(sdk, target_is_directory=True)
    python = str(folder / ".venv/bin/python")
    variables = {"PYTHONPATH": str(modules)}
    return replace(tap(folder, name=f"tap in {folder.name}"), python=python, variables=variables)


def pipeline(folder: Path, name: str, config: Path, variables: Mapping[str, str]) -> Candidate:
    """Return the tap of a checkout with its output piped into the installed target-postgres.

    Args:
        folder: Checkout with the tap.
        name: Name of the candidate.
        config: The loader's configuration file.
        variables: Additional environment variables.
    """
    loader = plugin("target-postgres")
    # Isolated, because PYTHONPATH has the tap's SDK.
    loading = [loader.with_name("python"), "-I", loader, "--config", config]
    this_tap = tap(folder, name=name)
    script = " | ".join(
        shlex.join(map(str, words)) for words in ([this_tap.python, *this_tap.arguments], loading)
    )
    return replace(this_tap, python="/bin/sh", arguments=("-c", script), variables=variables)


PLAIN_TAP: Final = Candidate(
    "plain SDK tap",
    ("-m", "tests.benchmarks.plain_tap", "--config", "ENV"),
    "TAP_PLAIN_CAMPUSGROUPS_",
)
MINIMAL_TAP: Final = Candidate(
    "minimal SDK tap", ("-m", "tests.benchmarks.minimal_tap", "--discover"), "TAP_MINIMAL_"
)
LOWER_BOUND: Final = Candidate(
    "lower bound", ("-m", "tests.benchmarks.lower_bound"), "LOWER_BOUND_"
)
