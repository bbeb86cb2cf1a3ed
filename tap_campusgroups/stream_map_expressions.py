"""The expressions of stream maps, checked against the fields of their streams."""

from __future__ import annotations

import ast
import typing as t
from dataclasses import dataclass

from tap_campusgroups.config import quoted
from tap_campusgroups.records.converter import single_type

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tap_campusgroups.records.converter import Schema

    Fields: t.TypeAlias = Mapping[str, Schema]

NEEDS_FAKER: t.Final = "needs the package faker: install tap-campusgroups[faker]"
FILTER: t.Final = "__filter__"

_NAMES: t.Final = {"_", "record", "config", "fake", "__stream_name__", "__original_stream_name__"}
_COMPARABLE: t.Final[dict[str | None, tuple[type, ...]]] = {
    "integer": (int, float),
    "number": (int, float),
    "boolean": (int,),
    "string": (str,),
}
"""Types of constants that can equal a value of a schema's type."""


@dataclass(frozen=True)
class Scope:
    """What the expressions of one stream map may use.

    Attributes:
        known: The fields of any stream of the map, also those that are not selected.
        selected: The selected fields of each selected stream of the map.
        functions: Names of the SDK's functions and modules.
        map_config: Names in `stream_map_config`.
    """

    known: Fields
    selected: Mapping[str, Fields]
    functions: Collection[str]
    map_config: Collection[str]
    has_faker: bool


def expression_problems(name: str, rule: t.Any, scope: Scope) -> Iterator[str]:
    """Find what in the rule of a field or an option would fail or do nothing."""
    if not isinstance(rule, str):
        yield "must be text"
        return
    tree = _parsed(rule)
    if tree is None:
        yield "is not a valid expression: check quotes and brackets; compare with =="
    elif name != "__alias__":  # may be plain text: first-users
        if name == FILTER and _is_literal(tree):
            yield "is the same for every row: compare a field, or write True for no filter"
        yield from _name_problems(tree, scope)
        yield from _field_problems(name, tree, scope)
        yield from _comparison_problems(tree, scope)


def _parsed(rule: str) -> ast.expr | None:
    try:
        (statement,) = ast.parse(rule).body
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value.encode()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return statement.value if isinstance(statement, ast.Expr) else None


def _is_literal(tree: ast.expr) -> bool:
    """Return whether a condition is true or false whatever the row has; `True` is on purpose."""
    if isinstance(tree, ast.BoolOp):
        return any(map(_is_literal, tree.values))
    literals = ast.Constant | ast.Tuple | ast.List | ast.Dict | ast.Set | ast.JoinedStr
    return isinstance(tree, literals) and getattr(tree, "value", None) is not True


def _name_problems(tree: ast.expr, scope: Scope) -> Iterator[str]:
    """Find names other than fields that do not exist or are not called."""
    nodes = [*ast.walk(tree)]
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    called |= {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        match node:
            case ast.Name("fake") if not scope.has_faker:
                yield NEEDS_FAKER
            case ast.Name(used) if (
                used in scope.functions and used not in scope.known and id(node) not in called
            ):
                yield f"uses {used} without brackets: call it, as in {used}(...)"
            case ast.Subscript(ast.Name("config"), ast.Constant(str(used))) if (
                used not in scope.map_config
            ):
                yield f"uses {quoted(used)}, which stream_map_config does not have"


def _field_problems(name: str, tree: ast.expr, scope: Scope) -> Iterator[str]:
    """Find fields that do not exist or that a stream of the map does not have."""
    nodes = [*ast.walk(tree)]
    own = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    others = _NAMES | own | ({"self"} if name in scope.known else set())
    others |= {*scope.functions} - scope.known.keys()
    for node in nodes:
        field, record, is_required = _field_in(node)
        if field is None or record in own or (record is None and field in others):
            continue
        what = f"the field {quoted(field)}" if record else quoted(field)
        without = [one for one, has in scope.selected.items() if field not in has]
        if field not in scope.known:
            yield f"uses {what}, which does not exist"
        elif without and (is_required or name == FILTER):
            yield f"uses {what}, which {without[0]} does not have or deselects"


def _comparison_problems(tree: ast.expr, scope: Scope) -> Iterator[str]:
    """Find comparisons that are the same for every row."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(
                compared, [ast.Eq() | ast.NotEq()], [ast.Constant(value)]
            ) | ast.Compare(ast.Constant(value), [ast.Eq() | ast.NotEq()], [compared]) if (
                value is not None
            ):
                field = _field_in(compared)[0] or ""
                kinds = {single_type(has[field]) for has in scope.selected.values() if field in has}
                for kind in kinds:
                    if not isinstance(value, _COMPARABLE.get(kind, object)):
                        yield f"compares {field} with a value that is not a {kind}"


def _field_in(node: ast.AST) -> tuple[str | None, str | None, bool]:
    """Return the field that a node reads, from which record, and whether the row must have it."""
    match node:
        case ast.Name(field):
            return field, None, True
        case ast.Subscript(ast.Name("record" | "_" as record), ast.Constant(str(field))):
            return field, record, True
        case ast.Call(
            ast.Attribute(ast.Name("record" | "_" as record), "get"),
            [ast.Constant(str(field)), *_],
        ):
            return field, record, False
    return None, None, False
