"""How settings are read, once: conf/vna.toml, over it VNA_* variables, over those flags."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from vna.config import Settings
from vna.errors import ConfigError

# Names that other programs use already, beside the regular VNA_<SECTION>_<KEY>.
_ALIASES = {"VNA_DATABASE_URL": ("postgres", "url"), "VNA_BLOB_URL": ("blobs", "url")}
_NOT_SETTINGS = frozenset({"VNA_ROOT_KEY", "VNA_CONFIG", "VNA", "VNA_SHARED"})  # the last: tests
_CHOICES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("tls", "clients"): ("required", "optional", "none"),
    ("tls", "profile"): ("bcp195", "modified"),
    ("keys", "root"): ("file", "env"),
    ("versions", "answer"): ("warning", "success"),
    ("versions", "policy"): ("first", "newest", "reject"),
    ("mail", "security"): ("starttls", "tls", "none"),
    ("sharing", "second_person"): ("off", "changed", "unknown"),
    ("sms", "provider"): ("", "twilio", "webhook"),
    ("corrections", "outgoing"): ("corrected", "received"),
    ("log", "level"): ("DEBUG", "INFO", "WARNING", "ERROR"),
}
# What nought means something for: as many as fit, at once, nothing kept, nobody, midnight.
NOUGHT = frozenset(
    {
        ("http", "workers"),
        ("http", "threads"),
        ("http", "slowest_bytes_s"),
        ("dicom", "workers"),
        ("dicom", "slowest_bytes_s"),
        ("access", "hold_hours"),
        ("access", "studies_an_hour"),
        ("blobs", "free_bytes"),
        ("blobs", "free_percent"),
        ("scrub", "days"),
        ("ingest", "adopt_s"),
        ("deletion", "grace_days"),
        ("guests", "daily"),
        ("sharing", "settle_s"),
        ("sharing", "urgent_s"),
        ("sharing", "night_from"),
        ("sharing", "night_to"),
        ("sharing", "remind_days"),
        ("sharing", "own_per_day"),
        ("pixels", "children"),
        ("pixels", "cache_bytes"),
        ("jobs", "first_retry_s"),
        ("jobs", "gather_s"),
        ("discs", "pictures"),
    }
)
_MOST: dict[tuple[str, ...], int] = {
    ("blobs", "free_percent"): 100,
    ("sharing", "night_from"): 23,
    ("sharing", "night_to"): 23,
    ("mail", "port"): 65535,
}
_Form = tuple[re.Pattern[str], str]


def _listed(one: str, said: str) -> _Form:
    """Several of a form by commas, or none; a comma at the end does no harm."""
    return re.compile(rf"\s*(?:(?:{one})\s*(?:,\s*|$))*"), f"{said}, by commas"


_HOST = r"\w(?:[\w.-]*\w)?"
_ORIGIN: _Form = (
    re.compile(r"(?:https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?)?"),
    "an address without a path, as https://images.example.org",
)
_ADDRESS, _SAID = r"[^\s,]+:[0-9]{1,5}", "HOST:PORT, as 127.0.0.1:8080"
_ADDRESSES = _listed(_ADDRESS, _SAID)
_ADDRESS_OR_NONE: _Form = (re.compile(rf"\s*(?:{_ADDRESS})?\s*"), _SAID)
# What others are told, sent to or come from: one that is not whole would be found out by them.
_FORMS: dict[tuple[str, ...], _Form] = {
    ("site", "issuer"): (
        re.compile(r"[^\s\\\x00-\x1f\x7f](?:[^\\\x00-\x1f\x7f]{0,62}[^\s\\\x00-\x1f\x7f])?"),
        "a name of 1 to 64 characters without a backslash (VR LO)",
    ),
    ("http", "listen"): (re.compile(rf"\s*{_ADDRESS}\s*"), _SAID),
    ("dicom", "listen"): _ADDRESSES,
    ("dicom", "tls_listen"): _ADDRESSES,
    ("sharing", "listen"): _ADDRESS_OR_NONE,
    ("syslog", "to"): _ADDRESS_OR_NONE,
    ("sharing", "url"): _ORIGIN,
    ("sms", "callback"): _ORIGIN,
    ("sms", "countries"): _listed(r"[A-Za-z]{2}", "codes of two letters, as DE"),
    ("guests", "domains"): _listed(_HOST, "domains without an @, as example.org"),
    ("outbound", "allow"): _listed(
        rf"{_HOST}|[0-9A-Fa-f:.]+(?:/[0-9]{{1,3}})?",
        "hosts and networks, as pacs.example or 10.0.0.0/8",
    ),
    ("http", "cors_origins"): (
        re.compile(r"\s*(?:(?:\*|https?://[^\s,/]+)\s*(?:,\s*|$))*"),
        "origins without a path, as https://viewer.example.org, by commas",
    ),
}
_PLAIN = frozenset({str, int, float, type(Path())})
_KINDS = {
    bool: "true or false",
    int: "a whole number, without a unit",
    float: "a number, without a unit",
    Path: "a text, in quotes",
    str: "a text, in quotes; several values stand in one, separated by commas",
}


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the settings: the file, then the environment, then flags (`{"http.listen": ...}`).

    Raises `ConfigError` naming the setting, for an unknown one too: a misspelt limit must not pass.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as exc:  # not TOML, too deep, or not UTF-8
            raise ConfigError(f"The configuration file {path} cannot be read: {exc}.") from exc
    for name, text in environ.items():
        if name.startswith("VNA_") and name not in _NOT_SETTINGS:
            _put(values, _known(name), text)
    for name, value in (flags or {}).items():
        if value is not None:
            _put(values, tuple(name.split(".")), value)
    return built(values)


def built(values: Mapping[str, Any]) -> Settings:
    """Make settings of tables of values that another process hands on. Raises `ConfigError`."""
    made: Settings = _build(Settings, dict(values), ())
    return made


def _from_variable(name: str) -> tuple[str, ...]:
    if name in _ALIASES:
        return _ALIASES[name]
    rest = name.removeprefix("VNA_").lower()
    if rest in ("data", "dev"):
        return (rest,)
    section, _, key = rest.partition("_")
    return section, key


def _known(variable: str) -> tuple[str, ...]:
    """Give the setting of a variable. Raises `ConfigError` naming the variable: others set them."""
    wanted, at = _from_variable(variable), Settings
    for part in wanted:
        is_section = dataclasses.is_dataclass(at)  # there is nothing below VNA_DATA
        if not is_section or part not in {f.name for f in dataclasses.fields(at)}:
            raise ConfigError(
                f"The variable {variable} names no setting (VNA_<SECTION>_<KEY>); "
                "conf/vna.toml lists them all."
            )
        at = get_type_hints(at)[part]
    return wanted


def _put(values: dict[str, Any], name: tuple[str, ...], value: Any) -> None:  # any TOML value
    for part in name[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"The setting {part} is a section, not a value.")
    values[name[-1]] = value


def _build(cls: Any, values: Any, where: tuple[str, ...]) -> Any:  # a dataclass, a TOML table
    if not isinstance(values, dict):
        raise ConfigError(f"The setting {'.'.join(where)} is a section, not a value.")
    hints = get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - known):
        name = ".".join((*where, unknown[0]))
        raise ConfigError(f"There is no setting {name}; conf/vna.toml lists them all.")
    built = {}
    for name, value in values.items():
        at = (*where, name)
        kind = hints[name]
        built[name] = (
            _build(kind, value, at) if dataclasses.is_dataclass(kind) else _value(kind, value, at)
        )
    return cls(**built)


def _value(kind: type, value: Any, where: tuple[str, ...]) -> Any:  # TOML value or text
    name = ".".join(where)
    try:
        read = _read(kind, value)
    except (TypeError, ValueError, OverflowError) as exc:
        raise ConfigError(f"The setting {name} must be {_KINDS[kind]}.") from exc
    if kind in (int, float):
        _check_range(read, where)
    choices = _CHOICES.get(where)
    if choices and read not in choices:
        said = ", ".join(choice or "nothing" for choice in choices)
        raise ConfigError(f"The setting {name} must be one of {said}.")
    form = _FORMS.get(where)
    if form and not form[0].fullmatch(read):
        raise ConfigError(f"The setting {name} must be {form[1]}.")
    return read


def _check_range(read: float, where: tuple[str, ...]) -> None:
    name = ".".join(where)
    if read < 0:
        raise ConfigError(f"The setting {name} must not be negative.")
    if read == 0 and where not in NOUGHT:
        raise ConfigError(f"The setting {name} must be more than 0.")
    if read > _MOST.get(where, math.inf):
        raise ConfigError(f"The setting {name} must be at most {_MOST[where]}.")


def _read(kind: type, value: Any) -> Any:  # TOML value or text
    if kind is bool:
        return _boolean(value)
    if type(value) not in _PLAIN:
        raise TypeError
    if kind is Path:
        return Path(str(value))
    if kind not in (int, float):
        return str(value)
    read: float = kind(value)  # of a text, or of a number
    if not math.isfinite(read) or (kind is int and read != value and not isinstance(value, str)):
        raise ValueError
    return read


def _boolean(value: Any) -> bool:  # a TOML value or a variable's text
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off", ""):
        return False
    raise ValueError
