"""The release checks reject incomplete releases; `make package` runs them on real files."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml
from packaging.requirements import Requirement

from scripts.release.changelog import ROOT, UnfitForReleaseError, section
from scripts.release.package import Distributions, check_same, check_version, tracked

if TYPE_CHECKING:
    from pathlib import Path

IN_A_CHECKOUT = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="a source archive contains neither .git nor .github"
)
CHANGELOG = """\
# Changelog

## Unreleased

## 1.2.0 - 2026-01-31

### Added

- A thing.

## 1.1.0 - 2026-01-01

## 1.0.0

- Undated.
"""


def test_section_of_a_released_version_is_its_text() -> None:
    assert section(CHANGELOG, "v1.2.0") == "### Added\n\n- A thing."


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("v1.1.0", "The section of 1.1.0 in CHANGELOG.md is empty"),
        ("v1.0.0", 'no section "## 1.0.0 - '),
        ("v1.2", "is not a version tag"),
        ("1.2.0", "is not a version tag"),
        ("v1.2.0rc1", 'no section "## 1.2.0rc1 - '),
        ("v11200", "is not a version tag"),
    ],
)
def test_section_with_unknown_tag_fails(tag: str, words: str) -> None:
    with pytest.raises(UnfitForReleaseError, match=re.escape(words)):
        section(CHANGELOG, tag)


def test_archive_with_missing_and_unexpected_files_fails() -> None:
    with pytest.raises(UnfitForReleaseError, match=re.escape("b is missing; .env is not expected")):
        check_same("an archive", {"a", ".env"}, {"a", "b"})
    check_same("an archive", ["a"], ["a"])


def test_distributions_with_different_versions_or_tag_fail(tmp_path: Path) -> None:
    wheel = tmp_path / "tap_campusgroups-1.2.0-py3-none-any.whl"
    for path in (wheel, tmp_path / "tap_campusgroups-1.2.0.tar.gz"):
        path.touch()
    found = Distributions.find(tmp_path)
    assert (found.wheel, found.version) == (wheel, "1.2.0")
    check_version(found, "v1.2.0")
    with pytest.raises(UnfitForReleaseError, match=r"version 1\.2\.0 does not match tag v1\.2\.1"):
        check_version(found, "v1.2.1")
    wheel.rename(tmp_path / "tap_campusgroups-1.2.1-py3-none-any.whl")
    with pytest.raises(UnfitForReleaseError, match="have different versions"):
        Distributions.find(tmp_path)
    (tmp_path / "tap_campusgroups-1.2.0.tar.gz").unlink()
    with pytest.raises(UnfitForReleaseError, match="1 wheels and 0 source archives"):
        Distributions.find(tmp_path)


@IN_A_CHECKOUT
def test_top_level_files_are_packed_or_excluded_by_name() -> None:
    """A new file or folder must be added to the source archive, or to the list of exclusions."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packed = set(re.findall(r'"/([^"]+)"', text))
    excluded = {".ci", ".github", ".pre-commit-config.yaml"}
    always_packed = {"pyproject.toml", ".gitignore"}
    top = {name.partition("/")[0] for name in tracked(".")}
    assert top - packed == excluded | always_packed


@IN_A_CHECKOUT
def test_release_workflow_publishes_only_tested_and_checked_packages() -> None:
    path = ROOT / ".github" / "workflows" / "release.yml"
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    assert set(jobs["publish"]["needs"]) == {"test", "build"}
    assert [name for name, job in jobs.items() if "environment" in job] == ["publish"]
    runs = [step.get("run", "") for step in jobs["build"]["steps"]]
    assert sum("scripts.release." in run for run in runs) == 2


def test_sdk_requirement_admits_next_version_without_choosing_pre_releases() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (sdk,) = (
        one.specifier
        for one in map(Requirement, project["dependencies"])
        if one.name == "singer-sdk"
    )
    assert sdk.contains("0.55.0b7", prereleases=True)
    assert list(sdk.filter(["0.54.9", "0.55.0b7"])) == ["0.54.9"]
    later = ["0.54.9", "0.55.0b7", "0.55.0", "0.55.3", "0.56.0a1", "0.56.0"]
    assert list(sdk.filter(later)) == ["0.54.9", "0.55.0", "0.55.3"]
