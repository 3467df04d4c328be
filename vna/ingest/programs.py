"""Objects that are programs as well: a preamble may hold whatever a system runs (CVE-2019-11687).

Such an object is stored like any other, and goes out with an empty preamble. Whoever reads the
trail is told that it came, from whom and where: nobody makes one by mistake.
"""

from __future__ import annotations

from typing import Final

from vna.access.audit import Event
from vna.dicom.refs import InstanceRef

KIND: Final = "instance.program"

_BEGINNINGS: Final = {
    b"MZ": "Windows",
    b"\x7fELF": "ELF",
    b"\xfe\xed\xfa\xce": "Mach-O",
    b"\xfe\xed\xfa\xcf": "Mach-O",
    b"\xce\xfa\xed\xfe": "Mach-O",
    b"\xcf\xfa\xed\xfe": "Mach-O",
    b"\xca\xfe\xba\xbe": "Mach-O or Java",
    b"#!": "script",
    b"PK": "ZIP",
}


def alert_of(preamble: bytes, ref: InstanceRef) -> Event | None:
    """Tell of an object that is a program as well; None of any other."""
    found = next((name for magic, name in _BEGINNINGS.items() if preamble.startswith(magic)), None)
    if found is None:
        return None
    return Event(
        kind=KIND,
        outcome="done",
        study=ref.study,
        series=ref.series,
        instance=ref.instance,
        detail={"preamble": found},
    )
