"""Nobody calls anybody by HTTP but through the gate (vna/outbound.py)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]

_CLIENTS: Final = (
    *("httpx", "httpcore", "http.client", "urllib.request", "urllib3", "requests", "aiohttp"),
    *("websockets", "ftplib", "xmlrpc.client"),
)
_GATE: Final = {"vna/outbound.py", "vna/transport.py"}

# who else reaches out, in which protocol; each calls whom an administrator named
_OTHERS: Final = {
    "smtplib": {"vna/delivery/smtp.py"},
    "obstore": {"vna/blobs/objects.py"},
    "socket.create_connection": {"vna/dimse/scu.py", "vna/operate/syslog.py"},
}


def _imported(tree: ast.AST) -> Iterator[str]:
    """Give the modules that are imported when it runs, wherever in it that stands."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            yield from (f"{node.module}.{one.name}" for one in node.names)
        yield from _imported(node)


@cache
def _trees() -> dict[str, ast.Module]:
    return {
        path.relative_to(_ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((_ROOT / "vna").rglob("*.py"))
    }


def _using(*names: str) -> dict[str, set[str]]:
    """Say which file uses which of these: modules, or functions of the module socket."""
    found: dict[str, set[str]] = {}
    for path, tree in _trees().items():
        said = set(_imported(tree))
        used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for name in names:
            if any(f"{one}.".startswith(f"{name}.") for one in said) or (
                "." in name and name in used
            ):
                found.setdefault(name, set()).add(path)
    return found


def test_http_is_spoken_by_the_gate_alone() -> None:
    found = _using(*_CLIENTS)
    assert {name: files - _GATE for name, files in found.items()} == {
        "httpx": set(),
        "httpcore": set(),
    }


def test_other_ways_out_are_those_that_are_known() -> None:
    assert _using(*_OTHERS) == _OTHERS
