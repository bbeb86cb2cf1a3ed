"""The programs that are compared, and how they are configured."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.support.pipeline import PROJECT, bare_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.simulator import Simulator

TAP: Final = "tap-campusgroups"
PLAIN: Final = "plain SDK tap"
BARE: Final = "bare SDK tap"


@dataclass(frozen=True)
class Contender:
    """A program to be measured.

    Attributes:
        name: What tables call it.
        arguments: Command line after the interpreter.
        prefix: Of the environment variables that hold its settings.
        settings: Settings beside those of the service, by name.
        folder: Where it runs, and so where its modules are found first.
    """

    name: str
    arguments: tuple[str, ...]
    prefix: str
    settings: Mapping[str, str] = field(default_factory=dict)
    folder: Path = PROJECT

    @property
    def command(self) -> list[str]:
        """The command line."""
        return [sys.executable, *self.arguments]

    def environment(self, home: Path, simulator: Simulator | None) -> dict[str, str]:
        """Make its environment, without the user's own settings.

        Args:
            home: An empty folder.
            simulator: The service, if the program is to read from it.
        """
        settings = dict(self.settings)
        if simulator is not None:
            settings |= {
                "api_url": simulator.url,
                "api_secret": simulator.api_secret,
                "school_code": simulator.school_code,
            }
        return bare_environment(home) | {
            f"{self.prefix}{name.upper()}": value for name, value in settings.items()
        }


@dataclass(frozen=True)
class Contenders:
    """Makes the contenders.

    Attributes:
        tap_folder: The checkout that the tap is taken from: another one says what was before.
    """

    tap_folder: Path = PROJECT

    def tap(
        self,
        *arguments: str,
        name: str = TAP,
        interpreter: tuple[str, ...] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Contender:
        """Make a contender of this project's tap.

        Args:
            *arguments: Its command line; without any, it reads everything.
            name: What tables call it.
            interpreter: Options of the interpreter.
            settings: Settings beside those of the service.
        """
        return Contender(
            name,
            (*interpreter, "-m", "tap_campusgroups", *(arguments or ("--config", "ENV"))),
            "TAP_CAMPUSGROUPS_",
            settings or {},
            self.tap_folder,
        )

    @staticmethod
    def plain() -> Contender:
        """Make a contender of `tests.benchmarks.plain_tap`."""
        return Contender(
            PLAIN,
            ("-m", "tests.benchmarks.plain_tap", "--config", "ENV"),
            "TAP_PLAIN_CAMPUSGROUPS_",
        )

    @staticmethod
    def bare() -> Contender:
        """Make a contender of the discovery of `tests.benchmarks.bare_tap`."""
        return Contender(BARE, ("-m", "tests.benchmarks.bare_tap", "--discover"), "TAP_BARE_")

    @staticmethod
    def floor() -> Contender:
        """Make a contender of `tests.benchmarks.floor`."""
        return Contender("floor", ("-m", "tests.benchmarks.floor"), "FLOOR_")
