"""Check that the wheel and the source archive contain the right files.

Usage: `python -m scripts.release.package dist`, in the checkout that they were built from.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tomllib
import typing as t
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from scripts.release.changelog import ROOT, UnfitForReleaseError

if t.TYPE_CHECKING:
    from collections.abc import Collection

PACKAGE: t.Final = "tap_campusgroups"

METADATA: t.Final = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
"""Metadata files of a wheel."""

ALWAYS_IN_SDIST: t.Final = {"PKG-INFO", "pyproject.toml", ".gitignore"}
"""Files that hatchling always adds to a source archive."""


@dataclass(frozen=True)
class Distributions:
    """The wheel and the source archive of one version."""

    wheel: Path
    sdist: Path
    version: str

    @classmethod
    def find(cls, folder: Path) -> Distributions:
        """Find the wheel and the source archive in a folder.

        Raises:
            UnfitForReleaseError: If there is not exactly one of each, or if their versions differ.
        """
        wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
        if len(wheels) != 1 or len(sdists) != 1:
            msg = f"{folder} has {len(wheels)} wheels and {len(sdists)} source archives, not 1 each"
            raise UnfitForReleaseError(msg)
        (wheel,), (sdist,) = wheels, sdists
        version = sdist.name.removeprefix(f"{PACKAGE}-").removesuffix(".tar.gz")
        if wheel.name != f"{PACKAGE}-{version}-py3-none-any.whl":
            msg = f"{wheel.name} and {sdist.name} have different versions"
            raise UnfitForReleaseError(msg)
        return cls(wheel, sdist, version)


def check_version(distributions: Distributions, tag: str) -> None:
    """Check that the version matches the tag.

    Raises:
        UnfitForReleaseError: If they differ.
    """
    if tag != f"v{distributions.version}":
        msg = f"version {distributions.version} does not match tag {tag}"
        raise UnfitForReleaseError(msg)


def check_same(what: str, found: Collection[str], expected: Collection[str]) -> None:
    """Check that an archive contains exactly the expected files.

    Raises:
        UnfitForReleaseError: If not; the message names the files.
    """
    problems = [f"{name} is missing" for name in sorted(set(expected) - set(found))]
    problems += [f"{name} is not expected" for name in sorted(set(found) - set(expected))]
    if problems:
        msg = f"{what}: {'; '.join(problems)}"
        raise UnfitForReleaseError(msg)


def tracked(*paths: str) -> set[str]:
    """Return the names of the tracked files below some paths of the checkout."""
    done = subprocess.run(  # noqa: S603 - the paths are those of pyproject.toml
        ["git", "ls-files", "-z", "--", *paths],  # noqa: S607 - the user's git
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return set(filter(None, done.stdout.split("\0")))


def check_wheel(distributions: Distributions) -> None:
    """Check that the wheel contains exactly the package and its metadata.

    Raises:
        UnfitForReleaseError: If not.
    """
    info = f"{PACKAGE}-{distributions.version}.dist-info"
    with ZipFile(distributions.wheel) as wheel:
        found = set(wheel.namelist())
    expected = tracked(PACKAGE)
    if f"{PACKAGE}/py.typed" not in expected or f"{PACKAGE}/schemas/events.json" not in expected:
        msg = "the checkout lacks py.typed or the schemas"
        raise UnfitForReleaseError(msg)
    check_same(distributions.wheel.name, found, expected | {f"{info}/{name}" for name in METADATA})


def check_sdist(distributions: Distributions) -> None:
    """Check that the source archive contains exactly the files that pyproject.toml lists.

    Raises:
        UnfitForReleaseError: If not.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    top = f"{PACKAGE}-{distributions.version}/"
    with tarfile.open(distributions.sdist) as sdist:
        found = {member.name for member in sdist.getmembers() if not member.isdir()}
    expected = tracked(*(path.lstrip("/") for path in included)) | ALWAYS_IN_SDIST
    check_same(distributions.sdist.name, found, {f"{top}{name}" for name in expected})


def check_same_wheel(distributions: Distributions, other: Path) -> None:
    """Check that the released wheel equals a wheel that was built from the checkout.

    Args:
        distributions: The release, whose wheel was built from the source archive.
        other: The wheel that was built from the checkout.

    Raises:
        UnfitForReleaseError: If they differ; the message names the files.
    """
    with ZipFile(distributions.wheel) as one, ZipFile(other) as two:
        check_same(other.name, two.namelist(), one.namelist())
        differing = [name for name in one.namelist() if one.read(name) != two.read(name)]
    if differing:
        msg = f"{other.name}: built from the checkout, it differs in {', '.join(differing)}"
        raise UnfitForReleaseError(msg)


def main(arguments: list[str]) -> int:
    """Check a folder, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.release.package", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with one wheel and one source archive")
    parser.add_argument("--tag", help="tag that the version must match")
    parser.add_argument("--same-as", type=Path, help="folder with a wheel built from the checkout")
    options = parser.parse_args(arguments)
    try:
        distributions = Distributions.find(options.folder)
        if options.tag is not None:
            check_version(distributions, options.tag)
        check_wheel(distributions)
        check_sdist(distributions)
        for wheel in options.same_as.glob("*.whl") if options.same_as else ():
            check_same_wheel(distributions, wheel)
    except UnfitForReleaseError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(f"{distributions.version}: the wheel and the source archive are complete")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
