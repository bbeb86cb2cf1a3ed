"""The architecture: which modules may import each other, and which libraries one module uses."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("tap_campusgroups", "tests", "examples", "scripts")


@dataclass
class Imports:
    """What a module imports: dotted names of modules, and of names imported from modules."""

    at_run_time: set[str] = field(default_factory=set)
    for_types: set[str] = field(default_factory=set)


def imports_of(path: Path) -> Imports:
    """Read the imports of the module in a file."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_for_types = {
        statement
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        if ast.unparse(node.test) in {"t.TYPE_CHECKING", "TYPE_CHECKING"}
        for statement in node.body
    }
    found = Imports()
    for node in ast.walk(tree):
        names = found.for_types if node in only_for_types else found.at_run_time
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                assert node.level <= 1, "imports are absolute, or from the same package"
                module = ".".join(filter(None, (package if node.level else None, node.module)))
                names |= {f"{module}.{alias.name}" for alias in node.names}
    return found


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): imports_of(
        path
    )
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imported_modules(name: str, *, with_types: bool = False) -> set[str]:
    """Return the modules of this project that a module imports."""
    imports = MODULES[name]
    found = imports.at_run_time | (imports.for_types if with_types else set())
    candidates = found | {one.rpartition(".")[0] for one in found}
    return {one for one in candidates if one in MODULES} - {name}


def importers(*libraries: str) -> set[str]:
    """Return the modules of the tap that import one of some libraries at run time."""
    return {
        name.removeprefix("tap_campusgroups.")
        for name, imports in MODULES.items()
        if name.startswith("tap_campusgroups.")
        if any(f"{one}.".startswith(f"{lib}.") for one in imports.at_run_time for lib in libraries)
    }


def test_imports_have_no_circle() -> None:
    # Packages re-export: `from tests.simulator import X` is a dependency on `tests.simulator`.
    graph = {name: imported_modules(name) for name in MODULES}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("package", ["exports", "records"])
def test_sub_packages_import_no_module_above_them(package: str) -> None:
    names = ["records", "exceptions", "redaction", "shutdown"]
    names += ["exports"] if package == "exports" else []
    allowed = tuple(f"tap_campusgroups.{name}" for name in names)
    for name in MODULES:
        if name.startswith(f"tap_campusgroups.{package}."):
            found = {
                one
                for one in imported_modules(name)
                if one.startswith("tap_campusgroups.") and not one.startswith(allowed)
            }
            assert not found, f"{name} imports {found}"


def test_tap_imports_nothing_from_other_folders() -> None:
    for name in MODULES:
        if name.startswith("tap_campusgroups"):
            found = imported_modules(name, with_types=True)
            assert all(one.startswith("tap_campusgroups") for one in found), name


def test_only_tests_of_examples_and_scripts_import_them() -> None:
    folders = {
        name.split(".")[1]
        for name in MODULES
        if name.startswith("tests.")
        if any(one.startswith(("examples", "scripts")) for one in imported_modules(name))
    }
    assert folders <= {"pipelines", "project", "readers"}


def test_no_module_imports_a_test_module() -> None:
    for name in MODULES:
        found = imported_modules(name, with_types=True)
        assert not [one for one in found if one.rpartition(".")[2].startswith("test_")], name


def test_redaction_imports_nothing_of_the_package() -> None:
    assert imported_modules("tap_campusgroups.redaction", with_types=True) == set()


def test_threads_are_used_in_four_modules() -> None:
    threads = ("threading", "_thread", "queue", "concurrent", "multiprocessing", "asyncio")
    assert importers(*threads) == {
        "exports.connection",
        "exports.scheduler",
        "exports.service_monitor",
        "shutdown",
    }


def users(text: str) -> set[str]:
    """Return the names of the tap's modules whose source has a text."""
    paths = (ROOT / "tap_campusgroups").rglob("*.py")
    return {path.stem for path in paths if text in path.read_text(encoding="utf-8")}


def test_connections_are_opened_in_one_module() -> None:
    assert importers("socket", "ssl", "http.client") == {"exports.connection"}
    assert users("Session(") == {"connection"}


def test_json_is_read_and_written_in_one_module() -> None:
    assert importers("json", "simplejson", "orjson") == {"records.json_codec"}
    assert users("msgspec.json") == {"json_codec"}
