"""What every module keeps to: its size, and a sentence on all that others may use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]
_MOST_OF_A_MODULE: Final = 500
_MOST_OF_A_FUNCTION: Final = 60

_KINDS: Final = frozenset(
    (
        "utils",
        "util",
        "helpers",
        "helper",
        "common",
        "misc",
        "models",
        "services",
        "managers",
        "types",
    )
)
_NOT_OF_THE_STANDARD: Final = frozenset(("Exam", "Examination", "Tag", "Util", "Helper", "Manager"))

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Described = _Function | ast.ClassDef


@cache
def _modules() -> dict[str, tuple[int, ast.Module]]:
    found = {}
    for path in sorted((_ROOT / "vna").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found[str(path.relative_to(_ROOT))] = text.count("\n"), ast.parse(text)
    return found


def _described(node: ast.AST) -> Iterator[_Described]:
    """Give the classes and functions of a module, those inside of them too."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, name, ()):
            if isinstance(child, _Described):
                yield child
            yield from _described(child)


def _public(node: ast.AST) -> Iterator[_Described]:
    """Give what others may use of a module or a class: no underscore, nothing inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try):
            yield from _public(child)
        if not isinstance(child, _Described) or child.name.startswith("_"):
            continue
        yield child
        if isinstance(child, ast.ClassDef):
            yield from _public(child)


def _says_what_another_says(node: _Described) -> bool:
    """Whether its words stand elsewhere: one of several signatures, or a method taken over."""
    words = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
    return bool(words & {"overload", "override", "setter", "deleter"})


def test_no_module_and_no_function_is_longer_than_one_subject_takes() -> None:
    assert {
        name: lines for name, (lines, _) in _modules().items() if lines > _MOST_OF_A_MODULE
    } == {}
    assert {
        f"{name}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, (_, tree) in _modules().items()
        for node in _described(tree)
        if isinstance(node, _Function)
        and (node.end_lineno or 0) - node.lineno >= _MOST_OF_A_FUNCTION
    } == {}


def test_a_module_is_named_for_its_subject_and_never_for_its_kind() -> None:
    words = {name: set(re.split(r"[/_.]", name)) for name in _modules()}
    assert {name for name, of in words.items() if of & _KINDS} == set()


def test_a_class_says_the_words_of_the_standard() -> None:
    """A study is no exam, an attribute no tag."""
    found = [
        f"{name}: {node.name}"
        for name, (_, tree) in _modules().items()
        for node in _described(tree)
        if isinstance(node, ast.ClassDef)
        and _NOT_OF_THE_STANDARD & set(re.findall(r"[A-Z][a-z]*", node.name))
    ]
    assert found == []


def test_every_public_name_has_a_docstring() -> None:
    without = [name for name, (_, tree) in _modules().items() if not ast.get_docstring(tree)]
    without += [
        f"{name}:{node.lineno} {node.name}"
        for name, (_, tree) in _modules().items()
        for node in _public(tree)
        if not ast.get_docstring(node) and not _says_what_another_says(node)
    ]
    assert without == []
