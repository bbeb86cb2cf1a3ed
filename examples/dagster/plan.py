"""What is run, and how a school's cap of exports is divided among the workers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

PROJECT: Final = Path(__file__).resolve().parents[2]
"""The folder of `meltano.yml`."""

FILE_VARIABLE: Final = "CAMPUSGROUPS_SCHOOLS"
"""Environment variable with the path of a file in place of `examples/dagster/schools.yml`."""


@dataclass(frozen=True)
class School:
    """A school.

    Attributes:
        code: Its code, the tap's `school_code`.
        api_secret_variable: Name of the environment variable that has its API secret.
        schema: Where in PostgreSQL its tables are.
        max_concurrent_exports: The vendor's cap: its exports that may be queued or running at once.
        api_url: Base URL of its API, if not the usual one.
    """

    code: str
    api_secret_variable: str
    schema: str
    max_concurrent_exports: int = 4
    api_url: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        schools: The schools.
        groups: The jobs of `meltano.yml` that are run for each.
        workers: How many `meltano run` at once.
        retries: How often a group that failed is run again.
        retry_delay_seconds: How long after.
    """

    schools: tuple[School, ...]
    groups: tuple[str, ...]
    workers: int
    retries: int = 1
    retry_delay_seconds: float = 300

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            ValueError: If a number is too small, or two schools would share a schema or a state.
        """
        numbers = {"workers": self.workers} | {
            f"max_concurrent_exports of {school.code}": school.max_concurrent_exports
            for school in self.schools
        }
        for name, number in numbers.items():
            if number < 1:
                message = f"{name} must be 1 or more"
                raise ValueError(message)
        for kind in ("code", "schema"):
            if len({getattr(school, kind) for school in self.schools}) < len(self.schools):
                message = f"two schools have the same {kind}"
                raise ValueError(message)

    def workers_of(self, school: School) -> int:
        """Say how many groups of a school may run at once: each needs an export of its own."""
        return min(self.workers, len(self.groups), school.max_concurrent_exports)

    def exports_of(self, school: School) -> int:
        """Say how many exports each of them may have: together never more than the cap."""
        return school.max_concurrent_exports // self.workers_of(school)


def load() -> Plan:
    """Read the plan from `examples/dagster/schools.yml`, or the file that `FILE_VARIABLE` names.

    Raises:
        TypeError: If the file has an unknown key, or lacks one.
        ValueError: See `Plan`.
    """
    path = Path(os.environ.get(FILE_VARIABLE) or Path(__file__).with_name("schools.yml"))
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    schools = tuple(School(**school) for school in content.pop("schools"))
    return Plan(schools, tuple(content.pop("groups")), **content)
