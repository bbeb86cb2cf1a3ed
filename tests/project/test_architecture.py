"""The architecture: which modules may import each other, and which libraries one module uses."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("tap_campusgroups", "tests", "examples", "scripts")


class Imports(ast.NodeVisitor):
    """Collects what a module imports.

    Attributes:
        at_run_time: Dotted names of imported modules, and of names imported from modules.
        for_types: The same for imports under `TYPE_CHECKING`.
    """

    def __init__(self, path: Path) -> None:
        """Read the module in a file."""
        self.at_run_time: set[str] = set()
        self.for_types: set[str] = set()
        self._package = ".".join(path.relative_to(ROOT).parent.parts)
        self._found = self.at_run_time
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_If(self, node: ast.If) -> None:
        """Visit both branches."""
        before = self._found
        if ast.unparse(node.test) in {"t.TYPE_CHECKING", "TYPE_CHECKING"}:
            self._found = self.for_types
        for child in node.body:
            self.visit(child)
        self._found = before
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        """Add the modules."""
        self._found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Add the imported names, with their module."""
        assert node.level <= 1, "imports are absolute, or from the same package"
        module = ".".join(filter(None, (self._package if node.level else None, node.module)))
        self._found |= {f"{module}.{alias.name}" for alias in node.names}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_name(path): Imports(path)
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


def test_imports_of_known_modules_are_collected() -> None:
    scheduler = MODULES["tap_campusgroups.exports.scheduler"]
    assert "tap_campusgroups.exports.export.Page" in scheduler.for_types
    assert "tap_campusgroups.config" in imported_modules("tap_campusgroups.sync")


def test_imports_have_no_circle() -> None:
    # Packages re-export: `from tests.simulator import X` is a dependency on `tests.simulator`.
    graph = {name: imported_modules(name) for name in MODULES}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("package", ["exports", "records"])
def test_sub_packages_import_no_module_above_them(package: str) -> None:
    allowed: tuple[str, ...] = (
        "tap_campusgroups.exports",
        "tap_campusgroups.records",
        "tap_campusgroups.exceptions",
    )
    if package == "records":
        allowed = allowed[1:]
    allowed += ("tap_campusgroups.shutdown",)
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
    importers_of_them = {
        name.split(".")[1]
        for name in MODULES
        if name.startswith("tests.")
        if any(one.startswith(("examples", "scripts")) for one in imported_modules(name))
    }
    assert importers_of_them <= {"pipelines", "project"}


def test_no_module_imports_a_test_module() -> None:
    for name in MODULES:
        found = imported_modules(name, with_types=True)
        assert not [one for one in found if one.rpartition(".")[2].startswith("test_")], name


def test_threads_are_used_in_four_modules() -> None:
    threads = ("threading", "_thread", "queue", "concurrent", "multiprocessing", "asyncio")
    assert importers(*threads) == {
        "exports.scheduler",
        "exports.service_monitor",
        "exports.transport",
        "shutdown",
    }


def test_connections_are_opened_in_one_module() -> None:
    libraries = ("requests", "urllib3", "socket", "ssl", "http.client")
    assert importers(*libraries) == {"exports.transport"}


def test_json_is_read_and_written_in_one_module() -> None:
    assert importers("json", "simplejson", "orjson") == set()
    users = {
        path.stem
        for path in (ROOT / "tap_campusgroups").rglob("*.py")
        if "msgspec.json" in path.read_text(encoding="utf-8")
    }
    assert users == {"json_codec"}


def test_tap_has_two_sub_packages_and_at_most_14_modules() -> None:
    folder = ROOT / "tap_campusgroups"
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert packages == {"exports", "records", "schemas"}
    assert len(list(folder.glob("*.py"))) <= 14
