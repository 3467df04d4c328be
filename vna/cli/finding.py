"""What `vna doctor` finds: one thing looked at, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `advice` says what to do when it is not well."""

    what: str
    state: str
    seen: str
    advice: str = ""
