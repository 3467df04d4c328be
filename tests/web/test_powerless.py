"""Every act of every engine, asked by somebody who may do nothing: refused before anything else.

The acts are found by themselves: each public method of an engine that is told who asks. Whatever
else it is given here can be anything, and is nothing: an act that goes on with it is found, too.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import TestPostgres
from tests.web.conftest import Site, serving
from vna.access.principal import Kind, Principal, Scope
from vna.errors import NotPermitted

POWERLESS = Principal(kind=Kind.PERSON, name="nobody", actions=frozenset(), scope=Scope())

# acts that are told who asks and refuse nobody, each with its reason
OPEN = {
    "imports.begin_in": "in the transaction of an act that asked",
    "imports.reject_in": "in the transaction of an act that asked",
    "imports.intake.take": "into the import its caller was let into: by their right, or by a link",
    "retrieve.sent": "writes down how a retrieval ended that was let through",
    "pushes.reported": "asks to be the remote AE that was asked, and nothing else",
    "pushes.received": "in the transaction of the act before",
    "lifecycle.is_gone": "says no of what is out of reach",
    "retrieve.is_lost": "says no of what is out of reach",
    "identities.bound": "in the transaction of an act that asked",
    "people.labels.narrowed": "says who somebody is: takes away, and gives nothing",
    "patient_accounts.beginnings.keep": "by a share whose proof was shown; it opens nothing yet",
    "patient_accounts.own.stop_code": "of one's own account",
    "sharing.contacts.begin": "of one's own account",
    "sharing.contacts.prove": "of one's own account",
    "sharing.contacts.drop": "of one's own account",
    "sharing.contacts.stop": "of one's own account",
}


class Anything:
    """Whatever an act looks at: there, empty, and of no use."""

    def __getattr__(self, _name: str) -> Anything:
        return self

    def __call__(self, *_args: object, **_named: object) -> Anything:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __contains__(self, _one: object) -> bool:
        return False

    def __len__(self) -> int:
        return 1

    def __lt__(self, _other: object) -> bool:
        return True

    __le__ = __gt__ = __ge__ = __lt__


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as found:
        yield found


def acts(of: object, name: str, seen: set[int]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Find the public methods of an engine, and of the engines it shows, that take a Principal."""
    if id(of) in seen or not type(of).__module__.startswith("vna."):
        return
    seen.add(id(of))
    for one in dir(of):
        if one.startswith("_"):
            continue
        value = getattr(of, one)
        if inspect.ismethod(value) and _asks(value):
            yield f"{name}.{one}", value
        elif not callable(value):
            yield from acts(value, f"{name}.{one}", seen)


def _asks(method: Callable[..., Any]) -> bool:
    try:
        hints = typing.get_type_hints(method)
    except NameError:  # a type that is only there while types are checked
        hints = getattr(method, "__annotations__", {})
    return any(hint in (Principal, "Principal") for name, hint in hints.items() if name != "return")


def nothing(method: Callable[..., Any]) -> dict[str, Any]:
    """Give what the method must be given: who asks, and anything."""
    asked: dict[str, Any] = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.annotation in (Principal, "Principal"):
            asked[name] = POWERLESS
        elif parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            asked[name] = Anything()
    return asked


def test_whoever_may_do_nothing_is_refused_by_every_act_before_it_looks(site: Site) -> None:
    seen: set[int] = set()
    found: dict[str, Callable[..., Any]] = {}
    for name in site.engines.__dataclass_fields__:
        found |= dict(acts(getattr(site.engines, name), name, seen))
    others = {}
    for name, act in found.items():
        try:
            given = act(**nothing(act))
            if inspect.isgenerator(given):
                next(given)
            others[name] = "done"
        except NotPermitted:
            continue
        except Exception as exc:
            others[name] = type(exc).__name__
    assert len(found) > 100
    assert set(others) == set(OPEN), others
