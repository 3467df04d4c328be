"""The tables of docs/conformance.md that are told from the code.

`python -m tests.dimse.conformance` writes them anew between their markers; a test holds them there.
"""

from __future__ import annotations

import re
from pathlib import Path

from pynetdicom import sop_class as tables

from vna.config import Dicom
from vna.dicom.uids import TRANSFER_SYNTAXES, sop_class_name
from vna.dimse.negotiate import FIND_OPTIONS
from vna.dimse.sop_classes import MESSAGE_SYNTAXES, STORAGE_CLASSES
from vna.dimse.status import CAUSES, CAUTIONS, ERRORS
from vna.dimse.tls import PROFILES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
_OPTIONS = (
    "Relational queries",
    "Combined date and time matching",
    "Fuzzy semantic matching of person names",
    "Timezone query adjustment",
    "Enhanced multi-frame image conversion",
    "Empty value matching",
    "Multiple value matching",
)
_PYNETDICOM = {uid: name for name, uid in tables._STORAGE_CLASSES.items()}


def written() -> dict[str, str]:
    """Write every table, by the name of its marker."""
    return {
        "storage-sop-classes": _table("SOP Class | UID", _storage()),
        "transfer-syntaxes": _table("Transfer Syntax | UID | C-STORE | C-FIND", _syntaxes()),
        "find-options": _table("Byte | Option | Supported", _options()),
        "tls-suites": _table("Suite of TLS 1.2 | `bcp195` | `modified`", _suites()),
        "limits": _table("Setting | Default", _limits()),
        "store-outcomes": _table("Status | When", _outcomes()),
        "errors": _table("Error | C-STORE | C-FIND", _errors()),
    }


def in_page(page: str, name: str) -> str:
    """Return the table that stands behind a marker."""
    found = re.search(_between(name), page, re.DOTALL)
    assert found, name
    return found[1]


def main() -> None:
    """Write the tables into the page."""
    page = PAGE.read_text()
    for name, table in written().items():
        here = f"<!-- {name} -->\n{table}<!-- /{name} -->"
        page = re.sub(_between(name), lambda _, here=here: here, page, flags=re.DOTALL)  # type: ignore[misc]
    PAGE.write_text(page)


def _between(name: str) -> str:
    return f"<!-- {name} -->\n(.*?)<!-- /{name} -->"


def _table(head: str, rows: list[str]) -> str:
    rule = " | ".join("---" for _ in head.split(" | "))
    return "".join(f"| {row} |\n" for row in (head, rule, *rows))


def _storage() -> list[str]:
    def name(uid: str) -> str:
        found = sop_class_name(uid)
        return _PYNETDICOM[uid] if found == uid else found

    return [f"{name(uid)} | {uid}" for uid in sorted(STORAGE_CLASSES, key=_order)]


def _order(uid: str) -> list[int]:
    return [int(part) for part in uid.split(".")]


def _syntaxes() -> list[str]:
    return [
        f"{TRANSFER_SYNTAXES[uid].name} | {uid} | yes | {'yes' if uid in MESSAGE_SYNTAXES else ''}"
        for uid in sorted(TRANSFER_SYNTAXES, key=_order)
    ]


def _options() -> list[str]:
    return [
        f"{number} | {name} | {'yes' if ours else 'no'}"
        for number, (name, ours) in enumerate(zip(_OPTIONS, FIND_OPTIONS, strict=True), 1)
    ]


def _suites() -> list[str]:
    both = dict.fromkeys(suite for suites in PROFILES.values() for suite in suites)
    return [
        " | ".join(
            (suite, *("yes" if suite in PROFILES[p] else "" for p in ("bcp195", "modified")))
        )
        for suite in both
    ]


def _limits() -> list[str]:
    limits = Dicom()
    names = (
        *("max_pdu_bytes", "max_associate_bytes", "associations", "associations_per_ae"),
        *("associations_per_address", "artim_s", "idle_s", "slowest_bytes_s"),
    )
    return [f"`dicom.{name}` | {getattr(limits, name)}" for name in names]


def _outcomes() -> list[str]:
    rows = [(code, cause.value) for cause, code in CAUSES.items()]
    rows += [(code, caution.value) for caution, code in CAUTIONS.items()]
    return [f"{code:04X}H | {name}" for code, name in [(0, "stored"), *sorted(rows)]]


def _errors() -> list[str]:
    return [f"{cls.__name__} | {store:04X}H | {find:04X}H" for cls, (store, find) in ERRORS.items()]


if __name__ == "__main__":
    main()
