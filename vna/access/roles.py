"""Roles: which actions and which part of the archive they give. Read from conf/roles.toml.

The file is checked whole at the start: a misspelt action must not quietly give less, nor more.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vna
from vna.access.principal import EVERYTHING, Action, Label, Scope
from vna.errors import ConfigError, InvalidRequest

SERVICE = "service"
PATIENT = "patient"
AE, GUEST = "ae", "share-guest"  # of whom has no account: what they have narrows it further
FIRST = ("system-administrator", "archive-administrator")  # what the first administrator is

_NAME = re.compile(r"[a-z][a-z-]{0,39}", re.ASCII)
_KEYS = {"description", "actions", "reach"}
_MORE = {"clears"}
_OWN, _SHARED = "own", "shared"
_REACH = {"all": EVERYTHING, "granted": Scope(), _OWN: Scope(), _SHARED: Scope()}
_OTHERS = {AE: "all", GUEST: _SHARED}  # and how far each reaches


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One role."""

    name: str
    description: str
    actions: frozenset[Action]
    scope: Scope
    clearances: frozenset[Label]
    is_own: bool = False  # reaches what is about its holder


@dataclass(frozen=True, slots=True)
class Roles:
    """Every role there is: of accounts, by name, and the two of whom has none."""

    by_name: Mapping[str, Role]
    ae: Role
    guest: Role

    def check(self, names: Sequence[str]) -> None:
        """Make sure that these roles exist. Raises `InvalidRequest`."""
        for name in names:
            if name not in self.by_name:
                raise InvalidRequest(
                    "There is no such role; `vna role list` shows them: " + ", ".join(self.by_name)
                )
        if self.is_own(names) and any(not self.by_name[name].is_own for name in names):
            raise InvalidRequest("A patient's account has no other role beside it.")

    def actions(self, names: Iterable[str]) -> frozenset[Action]:
        """Add up what some roles allow; a role that no longer exists gives nothing."""
        return frozenset().union(*(role.actions for role in self._held(names)))

    def scope(self, names: Iterable[str]) -> Scope:
        """Add up what some roles reach: everything, or what was granted."""
        is_all = any(role.scope.everything for role in self._held(names))
        return EVERYTHING if is_all else Scope()

    def is_own(self, names: Iterable[str]) -> bool:
        """Whether some roles make an account a patient's: it reaches what is about them."""
        return any(role.is_own for role in self._held(names))

    def clearances(self, names: Iterable[str]) -> frozenset[Label]:
        """Add up the labels that withhold nothing from some roles."""
        return frozenset().union(*(role.clearances for role in self._held(names)))

    def granting(self, action: Action) -> list[str]:
        """Name the roles that allow an action."""
        return [role.name for role in self.by_name.values() if action in role.actions]

    def _held(self, names: Iterable[str]) -> list[Role]:
        """Find the roles that count: what a patient has beside their own gives them nothing."""
        found = [self.by_name[name] for name in names if name in self.by_name]
        return [role for role in found if role.is_own] or found


def load(path: str = "") -> Roles:
    """Read the roles: of this file, else those that come with the archive. Raises `ConfigError`."""
    file = Path(path) if path else _own()
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"The roles {file} cannot be read: {exc}.") from exc
    found = {name: _role(name, table) for name, table in values.items()}
    missing = [name for name in _OTHERS if name not in found]
    if missing:  # a file of one's own that says nothing of them leaves them as they are
        ours = tomllib.loads(_own().read_text(encoding="utf-8"))
        found |= {name: _role(name, ours[name]) for name in missing}
    roles = Roles(ae=found.pop(AE), guest=found.pop(GUEST), by_name=found)
    if not roles.granting(Action.ACCOUNTS):
        raise ConfigError("No role may manage accounts: nobody could ever let anyone in.")
    return roles


@functools.cache
def known(path: str) -> Roles:
    """Give the roles of `access.roles`, read once. Raises `ConfigError`."""
    return load(path)


def _own() -> Path:
    package = Path(vna.__file__).parent
    packed = package / "_conf"
    return (packed if packed.is_dir() else package.parent / "conf") / "roles.toml"


def _role(name: str, table: Any) -> Role:  # a TOML value
    if not _NAME.fullmatch(name) or not isinstance(table, dict) or set(table) - _MORE != _KEYS:
        raise ConfigError(
            f"The role {name!r} needs description, actions and reach; clears is all it may add."
        )
    actions, reach = table["actions"], table["reach"]
    if not isinstance(actions, list) or not isinstance(reach, str) or reach not in _REACH:
        raise ConfigError(
            f'The role {name} has a list of actions and the reach "all", "granted" or "own".'
        )
    if reach != _OTHERS.get(name, reach if reach != _SHARED else ""):
        raise ConfigError(f'The reach "shared" is that of {GUEST} alone, and {AE} reaches "all".')
    if name == AE and "clears" in table:
        raise ConfigError(f"Which labels withhold nothing from {AE} stands in access.ae_clears.")
    try:
        allowed = frozenset(Action(action) for action in actions)
    except ValueError as exc:
        known = ", ".join(action.value for action in Action)
        raise ConfigError(f"The role {name} has an unknown action; known are: {known}.") from exc
    return Role(
        name=name,
        description=str(table["description"]),
        actions=allowed,
        scope=_REACH[reach],
        clearances=labels(table.get("clears", []), f"The role {name}"),
        is_own=reach == _OWN,
    )


@functools.cache
def clears(setting: str) -> frozenset[Label]:
    """Read `access.ae_clears`: labels, separated by commas. Raises `ConfigError`."""
    names = [word.strip() for word in setting.split(",") if word.strip()]
    return labels(names, "The setting access.ae_clears")


def labels(names: Any, whose: str) -> frozenset[Label]:  # a TOML value, or words of a setting
    """Read names of labels. Raises `ConfigError` that begins with `whose`."""
    known = {label.value: label for label in Label}
    if not isinstance(names, list) or not all(isinstance(n, str) and n in known for n in names):
        raise ConfigError(f"{whose} clears a list of labels; known are: {', '.join(known)}.")
    return frozenset(known[name] for name in names)
