"""docs/troubleshooting.md lists every message of the tap exactly once, and no other message."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tap_campusgroups
from tap_campusgroups import connection_test, exceptions, input_files, summary
from tap_campusgroups.exports.response import ResponseKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(tap_campusgroups.__file__).parent
GUIDE = (PACKAGE.parent / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
GAP = "…"
"""Placeholder for a value, in the guide and in the messages read from the code."""

MESSAGE_ARGUMENTS = {
    **{
        name: 0
        for name, kind in vars(exceptions).items()
        if isinstance(kind, type) and issubclass(kind, exceptions.CampusGroupsError)
    },
    "_fail": 1,
}
"""Position of the message among the arguments of an error or a helper that raises one."""

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}

LINE_FUNCTIONS = (
    summary.log_summary,
    summary._issue_lines,  # noqa: SLF001
    summary._schema_lines,  # noqa: SLF001
    connection_test._report,  # noqa: SLF001
    connection_test._test,  # noqa: SLF001
    input_files._describe,  # noqa: SLF001
)
"""Functions that return or collect lines of a message."""

FORWARDING_CALLS = {
    "logger.error('%s', message)": "an error of the command line",
    "logger.error('%s', output_error(error))": "an error at the end of the process",
    "InputError(msg)": "the message of input_files._fail",
    "_fail(option, _describe(error))": "the text of input_files._describe",
}
"""Calls without a text in the same place, and what they forward."""

NO_REASONS = {
    ResponseKind.ACCEPTED,
    ResponseKind.QUEUED,
    ResponseKind.RUNNING,
    ResponseKind.PAGE,
    ResponseKind.DENIED,  # the message of `AccessDeniedError`
}
"""Kinds of responses that are not listed as a reason."""


@dataclass(frozen=True)
class Message:
    """A message of the code.

    Attributes:
        text: The text, with `GAP` for every value.
        origin: Module and line.
    """

    text: str
    origin: str


class MessageReader(ast.NodeVisitor):
    """Collects the messages of raised errors and log calls of a module."""

    def __init__(self, path: Path) -> None:
        self.messages: list[Message] = []
        self.forwarding_calls: set[str] = set()
        self._name = str(path.relative_to(PACKAGE))
        self._functions: list[ast.AST] = [tree := ast.parse(path.read_text(encoding="utf-8"))]
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Visit a function; names in it are looked up in the same function."""
        self._functions.append(node)
        self.generic_visit(node)
        self._functions.pop()

    def visit_Call(self, node: ast.Call) -> None:
        """Visit a call."""
        self.generic_visit(node)
        if (argument := message_argument(node)) is None:
            return
        text = self._text(argument)
        if re.search("[a-z]", text):
            self.messages.append(Message(text, f"{self._name}:{node.lineno}"))
        elif not self._is_in_line_function:
            self.forwarding_calls.add(re.sub(r"^self\.(_?logger)", "logger", ast.unparse(node)))

    @property
    def _is_in_line_function(self) -> bool:
        name = getattr(self._functions[-1], "name", "")
        return name in {function.__name__ for function in LINE_FUNCTIONS}

    def _text(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(str(text)):
                return re.sub(r"%[\d.]*[sdf]", GAP, text)
            case ast.JoinedStr(parts):
                return "".join(map(self._text, parts))
            case ast.BinOp(left, ast.Add(), right):
                return self._text(left) + self._text(right)
            case ast.Name(name):
                return self._assigned(name, node.lineno)
            case _:
                return GAP

    def _assigned(self, name: str, line: int) -> str:
        """Return the last text that was assigned to a name before a line of the same function."""
        text, last = GAP, 0
        for node in ast.walk(self._functions[-1]):
            match node:
                case ast.Assign([ast.Name(target)], value, lineno=lineno) if (
                    target == name
                    and last < lineno < line
                    and isinstance(value, ast.Constant | ast.JoinedStr)
                ):
                    text, last = self._text(value), lineno
        return text


def message_argument(node: ast.Call) -> ast.expr | None:
    """Return the message among the arguments of a call, if the call has one."""
    match node.func:
        case ast.Name(name) if name in MESSAGE_ARGUMENTS:
            place = MESSAGE_ARGUMENTS[name]
            return node.args[place] if len(node.args) > place else None
        case ast.Attribute(logger, attr="log") if ast.unparse(logger).endswith("logger"):
            return node.args[1]
        case ast.Attribute(_, attr=level) if level in LEVELS and node.args:
            return node.args[0]
    return None


def read_package() -> tuple[list[Message], set[str]]:
    """Read all modules of the tap."""
    readers = [MessageReader(path) for path in sorted(PACKAGE.rglob("*.py"))]
    return (
        [message for reader in readers for message in reader.messages],
        {call for reader in readers for call in reader.forwarding_calls},
    )


def lines_of(function: Callable[..., object]) -> Iterator[Message]:
    """Yield the lines that a function collects in a list or returns."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        match node:
            case ast.List(elements):
                lines = [
                    element.value.elt
                    if isinstance(element, ast.Starred)
                    and isinstance(element.value, ast.GeneratorExp)
                    else element
                    for element in elements
                ]
            case ast.ListComp(element):
                lines = [element]
            case ast.Call(ast.Attribute(attr="append"), lines):
                pass
            case ast.Return(ast.expr() as value):
                lines = [value]
            case _:
                continue
        for text in map(template, lines):
            if re.search("[A-Za-z]{2}", text):
                yield Message(text, f"{function.__qualname__}: {text.strip()}")


def template(node: ast.AST) -> str:
    match node:
        case ast.JoinedStr(parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else GAP for part in parts
            )
        case ast.Constant(str(text)):
            return text
        case _:
            return ""


READ_MESSAGES, READ_FORWARDING_CALLS = read_package()
MESSAGES = [
    *READ_MESSAGES,
    *(
        Message(kind.value, f"ResponseKind.{kind.name}")
        for kind in ResponseKind
        if kind not in NO_REASONS
    ),
    *(line for function in LINE_FUNCTIONS for line in lines_of(function)),
]


def table_rows(heading: str) -> Iterator[list[str]]:
    """Yield the rows of all tables under a heading of the second level."""
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def listed_phrases() -> list[list[str]]:
    """Return the phrases in the first cell of each row, without placeholders at their ends."""
    return [
        [phrase.strip(f"{GAP} ") for phrase in phrases]
        for heading in ("Messages that need action", "Informational messages")
        for row in table_rows(heading)
        if (phrases := re.findall("`([^`]+)`", row[0]))
    ]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.origin)
def test_message_of_the_tap_is_listed_once(message: Message) -> None:
    rows = [row for row in listed_phrases() if any(phrase in message.text for phrase in row)]
    assert rows, f"docs/troubleshooting.md does not list: {message.text}"
    assert len(rows) == 1, f"docs/troubleshooting.md lists {message.text!r} in: {rows}"


@pytest.mark.parametrize("phrase", sorted(phrase for row in listed_phrases() for phrase in row))
def test_listed_phrase_is_part_of_a_message(phrase: str) -> None:
    assert any(phrase in message.text for message in MESSAGES)


def test_calls_without_a_text_are_known() -> None:
    assert set(FORWARDING_CALLS) == READ_FORWARDING_CALLS


def test_messages_are_found_in_all_parts_of_the_tap() -> None:
    assert len(READ_MESSAGES) > 25
    assert {"client.py", "tap.py", "sync.py", "exports/runner.py", "exports/scheduler.py"} <= {
        message.origin.split(":")[0] for message in READ_MESSAGES
    }


def test_every_exit_code_is_listed() -> None:
    codes = [row[0] for row in table_rows("Exit codes")]
    assert codes == ["exit code", "0", "1", "2", "129", "130", "143"]


def keys_of(function: Callable[..., object]) -> list[str]:
    """Return the keys of the first dictionary in a function."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    dictionary = next(node for node in ast.walk(tree) if isinstance(node, ast.Dict))
    return [ast.literal_eval(key) for key in dictionary.keys if key is not None]


def test_every_figure_of_the_summary_is_listed() -> None:
    names = [row[0].strip("`") for row in table_rows("Monitoring")]
    at = names.index("field of a stream")
    assert set(names[1:at]) == set(keys_of(summary.log_summary))
    assert names[at + 1 :] == keys_of(summary._figures)  # noqa: SLF001
