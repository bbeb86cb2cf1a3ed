"""docs/operating.md lists every line that the tap writes, once, and no line that it does not."""

from __future__ import annotations

import ast
import dataclasses
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
from tap_campusgroups.exports.transport import describe_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(tap_campusgroups.__file__).parent
GUIDE = (PACKAGE.parent / "docs" / "operating.md").read_text(encoding="utf-8")
GAP = "…"
"""What a phrase of the guide and a message of the code have where a value comes."""

ERRORS = {
    name
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, exceptions.CampusGroupsError)
}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}

TABLES = (
    summary.write_summary,
    summary._odd_lines,  # noqa: SLF001 - where the summary's lines are
    connection_test._report,  # noqa: SLF001 - likewise those of `--test`
    connection_test.Verdict.__str__,
    input_files._problem,  # noqa: SLF001 - where the errors of a catalog or a state are
)
"""What makes the lines of a message that has several."""

CARRIERS = {
    "logger.error('%s', error)": "the command line, of an error",
    "logger.error('%s', output_error(error))": "the end of the process, of an error",
    "InputError(msg)": "what `input_files._problem` found",
    "UnknownFieldError(path)": "a name, which the stream puts into words",
}
"""Calls that say nothing of their own, and what they pass on."""

NOT_SAID = {ResponseKind.ACCEPTED, ResponseKind.QUEUED, ResponseKind.RUNNING, ResponseKind.PAGE}
"""Replies that are no reason for anything."""


@dataclass(frozen=True)
class Message:
    """What the code says somewhere.

    Attributes:
        text: With `GAP` for whatever is known only then.
        where: The module and line.
    """

    text: str
    where: str


class Reader(ast.NodeVisitor):
    """Collects the messages of a module: of errors that are made, and of lines that are logged."""

    def __init__(self, path: Path) -> None:
        self.messages: list[Message] = []
        self.carriers: set[str] = set()
        self._name = path.name
        self._functions: list[ast.AST] = [tree := ast.parse(path.read_text(encoding="utf-8"))]
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Read a function, and cache_parsed that what follows is in it."""
        self._functions.append(node)
        self.generic_visit(node)
        self._functions.pop()

    def visit_Call(self, node: ast.Call) -> None:
        """Read a call."""
        self.generic_visit(node)
        if (said := self._said_by(node)) is None:
            return
        text = self._text(said)
        if re.search("[a-z]", text):
            self.messages.append(Message(text, f"{self._name}:{node.lineno}"))
        elif not self._is_in_table:
            call = re.sub(r"^self\.(_?logger)", "logger", ast.unparse(node))
            self.carriers.add(call)

    def _said_by(self, node: ast.Call) -> ast.expr | None:
        """Pick the argument that is the message of a call, if it is a call that has one."""
        if isinstance(node.func, ast.Name) and node.func.id in ERRORS:
            return node.args[0] if node.args else None
        match node.func:
            case ast.Attribute(_, attr="log") if ast.unparse(node.func.value).endswith("logger"):
                return node.args[1]
            case ast.Attribute(_, attr=level) if level in LEVELS and node.args:
                return node.args[0]
        return None

    @property
    def _is_in_table(self) -> bool:
        """Whether it is in a function whose lines are read for themselves."""
        name = getattr(self._functions[-1], "name", "")
        return name in {function.__name__ for function in TABLES}

    def _text(self, node: ast.expr) -> str:
        """Put a message together, as far as the module says what is in it."""
        match node:
            case ast.Constant(str(text)):
                return re.sub(r"%[\d.]*[sdf]", GAP, text)
            case ast.JoinedStr(parts):
                return "".join(map(self._text, parts))
            case ast.FormattedValue(ast.Name() as name):
                return self._text(name)
            case ast.Name(name):
                return self._assigned(name, node.lineno)
            case ast.Call(ast.Name("bad_settings")):
                return "Bad settings: " + GAP
            case _:
                return GAP

    def _assigned(self, name: str, line: int) -> str:
        """Put together what a name of the same function holds at a line."""
        text, at = GAP, 0
        for node in ast.walk(self._functions[-1]):
            match node:
                case ast.Assign([ast.Name(target)], value, lineno=lineno):
                    if (
                        target == name
                        and at < lineno < line
                        and isinstance(value, ast.Constant | ast.JoinedStr)
                    ):
                        text, at = self._text(value), lineno
        return text


def read_package() -> tuple[list[Message], set[str]]:
    """Read all modules of the tap."""
    readers = [Reader(path) for path in sorted(PACKAGE.glob("*.py"))]
    return (
        [message for reader in readers for message in reader.messages],
        {carrier for reader in readers for carrier in reader.carriers},
    )


def lines_of(function: Callable[..., object]) -> Iterator[Message]:
    """Collect the lines that a function puts into a list, or returns."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        match node:
            case ast.List(elts):
                texts = [_repeated(element) for element in elts]
            case ast.ListComp(element):
                texts = [element]
            case ast.Call(ast.Attribute(attr="append"), texts):
                pass
            case ast.Return(ast.expr() as value):
                texts = [value]
            case _:
                continue
        for text in map(_written, texts):
            if re.search("[A-Za-z]{2}", text):
                yield Message(text, f"{function.__name__}: {text.strip()}")


def _repeated(node: ast.expr) -> ast.expr:
    """Pick the line that an element of a list is, or that it repeats."""
    match node:
        case ast.Starred(ast.GeneratorExp(line)):
            return line
        case _:
            return node


def _written(node: ast.AST) -> str:
    match node:
        case ast.JoinedStr(parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else GAP for part in parts
            )
        case ast.Constant(str(text)):
            return text
        case _:
            return ""


MESSAGES, PASSED_ON = read_package()
SAID = [
    *MESSAGES,
    *(
        Message(reply.value, f"ResponseKind.{reply.name}")
        for reply in ResponseKind
        if reply not in NOT_SAID
    ),
    *(line for function in TABLES for line in lines_of(function)),
    Message(describe_failure(OSError()), "describe_failure"),
]


def rows(heading: str) -> Iterator[list[str]]:
    """Read the rows of the tables under a heading of the second level."""
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def listed() -> list[list[str]]:
    """List the phrases of each row that tells of a line, those of a row together."""
    cells = [
        row[0]
        for heading in ("Lines that ask for action", "Lines that need nothing")
        for row in rows(heading)
    ]
    return [phrases for cell in cells if (phrases := re.findall("`([^`]+)`", cell))]


@pytest.mark.parametrize("message", SAID, ids=lambda message: message.where)
def test_a_line_of_the_tap_is_listed_once(message: Message) -> None:
    rows_with_it = [row for row in listed() if any(phrase in message.text for phrase in row)]
    assert rows_with_it, f"docs/operating.md says nothing of: {message.text}"
    assert len(rows_with_it) == 1, f"{message.text} is in several rows: {rows_with_it}"


@pytest.mark.parametrize("phrase", sorted(phrase for row in listed() for phrase in row))
def test_a_listed_line_is_one_of_the_tap_s(phrase: str) -> None:
    assert any(phrase in message.text for message in SAID), "no code says it"


def test_what_only_passes_on_is_known() -> None:
    assert set(CARRIERS) == PASSED_ON


def test_every_reason_is_read() -> None:
    """The collection itself: were it empty, nothing would fail."""
    assert len(MESSAGES) > 25
    assert {"client.py", "base.py", "tap.py", "run.py", "scheduler.py"} <= {
        message.where.split(":")[0] for message in MESSAGES
    }


def test_every_exit_code_is_listed() -> None:
    assert [row[0] for row in rows("Exit codes")] == ["exit code", "0", "1", "2", "130", "143"]


def test_every_figure_of_the_summary_is_listed() -> None:
    names = [row[0].strip("`") for row in rows("What to watch")]
    tree = ast.parse(textwrap.dedent(inspect.getsource(summary.write_summary)))
    (extra,) = (
        keyword.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "extra"
    )
    assert isinstance(extra, ast.Dict)
    of_the_run = {ast.literal_eval(key) for key in extra.keys if key is not None}
    at = names.index("field of a stream")
    assert set(names[1:at]) == of_the_run
    assert names[at + 1 :] == [field.name for field in dataclasses.fields(summary.StreamSummary)]
