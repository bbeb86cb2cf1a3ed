"""Check the wheel and the source archive: `python -m scripts.release.package dist`.

Needs the checkout that they were built from.
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
"""What a wheel has beside the package."""

ALWAYS_IN_SDIST: t.Final = {"PKG-INFO", "pyproject.toml", ".gitignore"}
"""What hatchling puts into a source archive unasked."""


@dataclass(frozen=True)
class Distributions:
    """The two files of a release.

    Attributes:
        wheel: The wheel.
        sdist: The source archive.
        version: What both say of themselves.
    """

    wheel: Path
    sdist: Path
    version: str

    @classmethod
    def find(cls, folder: Path) -> Distributions:
        """Find them in a folder.

        Args:
            folder: With one wheel and one source archive.

        Raises:
            UnfitForReleaseError: If there are more or fewer, or if their versions differ.
        """
        wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
        if len(wheels) != 1 or len(sdists) != 1:
            msg = (
                f"{folder} has {len(wheels)} wheels and {len(sdists)} source archives, not one each"
            )
            raise UnfitForReleaseError(msg)
        (wheel,), (sdist,) = wheels, sdists
        version = sdist.name.removeprefix(f"{PACKAGE}-").removesuffix(".tar.gz")
        if wheel.name != f"{PACKAGE}-{version}-py3-none-any.whl":
            msg = f"{wheel.name} and {sdist.name} are not of one version"
            raise UnfitForReleaseError(msg)
        return cls(wheel, sdist, version)


def check_version(distributions: Distributions, tag: str) -> None:
    """Make sure that the version is the tag's.

    Raises:
        UnfitForReleaseError: If not.
    """
    if tag != f"v{distributions.version}":
        msg = f"the version is {distributions.version}, and the tag {tag}"
        raise UnfitForReleaseError(msg)


def check_same(what: str, found: Collection[str], expected: Collection[str]) -> None:
    """Make sure that an archive has what it should have, and nothing else.

    Args:
        what: The archive's name.
        found: Names of the files in it.
        expected: Names of the files that should be.

    Raises:
        UnfitForReleaseError: If they differ; the text names the files.
    """
    problems = [f"{name} is missing" for name in sorted(set(expected) - set(found))]
    problems += [f"{name} should not be there" for name in sorted(set(found) - set(expected))]
    if problems:
        msg = f"{what}: {'; '.join(problems)}"
        raise UnfitForReleaseError(msg)


def tracked(*paths: str) -> set[str]:
    """List the files that git knows, below some paths of the checkout."""
    done = subprocess.run(  # noqa: S603 - the paths are those of pyproject.toml
        ["git", "ls-files", "-z", "--", *paths],  # noqa: S607 - the user's git
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return set(filter(None, done.stdout.split("\0")))


def check_wheel(distributions: Distributions) -> None:
    """Make sure that the wheel has the package, its metadata, and nothing else.

    Raises:
        UnfitForReleaseError: If not.
    """
    info = f"{PACKAGE}-{distributions.version}.dist-info"
    with ZipFile(distributions.wheel) as wheel:
        found = set(wheel.namelist())
    expected = tracked(PACKAGE)
    if f"{PACKAGE}/py.typed" not in expected or f"{PACKAGE}/schemas/events.json" not in expected:
        msg = "the checkout has no py.typed or no schemas"
        raise UnfitForReleaseError(msg)
    check_same(distributions.wheel.name, found, expected | {f"{info}/{name}" for name in METADATA})


def check_sdist(distributions: Distributions) -> None:
    """Make sure that the source archive has the files that pyproject.toml lists, and nothing else.

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
    """Make sure that another wheel has the same files with the same contents.

    Args:
        distributions: The release, its wheel made of the source archive.
        other: A wheel made of the checkout.

    Raises:
        UnfitForReleaseError: If not; the text names the files.
    """
    with ZipFile(distributions.wheel) as one, ZipFile(other) as two:
        check_same(other.name, two.namelist(), one.namelist())
        differing = [name for name in one.namelist() if one.read(name) != two.read(name)]
    if differing:
        msg = f"{other.name}: made of the checkout, it differs in {', '.join(differing)}"
        raise UnfitForReleaseError(msg)


def main(arguments: list[str]) -> int:
    """Check a folder.

    Args:
        arguments: The folder; `--tag` and a tag that the version must be that of; `--same-as` and
            a folder with a wheel that was built from the checkout.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.release.package", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tag")
    parser.add_argument("--same-as", type=Path)
    asked = parser.parse_args(arguments)
    try:
        distributions = Distributions.find(asked.folder)
        if asked.tag is not None:
            check_version(distributions, asked.tag)
        check_wheel(distributions)
        check_sdist(distributions)
        for wheel in asked.same_as.glob("*.whl") if asked.same_as else ():
            check_same_wheel(distributions, wheel)
    except UnfitForReleaseError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(f"{distributions.version}: wheel and source archive have what they should have")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
