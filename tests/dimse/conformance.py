"""The tables of docs/conformance.md that are told from the code.

`python -m tests.dimse.conformance` writes them anew between their markers; a test holds them there.
"""

from __future__ import annotations

import re
from pathlib import Path

from pynetdicom import sop_class as tables

from vna.config import Dicom
from vna.dicom.uids import TRANSFER_SYNTAXES, sop_class_name
from vna.dimse.messages import SUCCESS
from vna.dimse.negotiate import FIND_OPTIONS, RETRIEVE_OPTIONS
from vna.dimse.sop_classes import GET_MODELS, MESSAGE_SYNTAXES, MOVE_MODELS, STORAGE_CLASSES
from vna.dimse.status import (
    CANCELLED,
    CAUSES,
    CAUTIONS,
    ERRORS,
    NO_SUCH_DESTINATION,
    PENDING,
    SOME_FAILED,
    SUBOPERATIONS_FAILED,
    of_retrieve_error,
)
from vna.dimse.tls import PROFILES
from vna.errors import InvalidQuery, NotPermitted, TooLarge

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
_RETRIEVE_OPTIONS = ("Relational retrieval", "Enhanced multi-frame image conversion")
_PYNETDICOM = {uid: name for name, uid in tables._STORAGE_CLASSES.items()}


def written() -> dict[str, str]:
    """Write every table, by the name of its marker."""
    return {
        "storage-sop-classes": _table("SOP Class | UID", _storage()),
        "transfer-syntaxes": _table(
            "Transfer Syntax | UID | C-STORE | C-FIND, C-MOVE, C-GET", _syntaxes()
        ),
        "find-options": _table("Byte | Option | Supported", _options(_OPTIONS, FIND_OPTIONS)),
        "retrieve-options": _table(
            "Byte | Option | Supported", _options(_RETRIEVE_OPTIONS, RETRIEVE_OPTIONS)
        ),
        "retrieve-models": _table("SOP Class | UID | Levels", _models()),
        "retrieve-statuses": _table("Status | C-MOVE | C-GET | When", _retrieve_statuses()),
        "tls-suites": _table("Suite of TLS 1.2 | `bcp195` | `modified`", _suites()),
        "limits": _table("Setting | Default", _limits()),
        "store-outcomes": _table("Status | When", _outcomes()),
        "errors": _table("Error | C-STORE | C-FIND | C-MOVE, C-GET", _errors()),
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


def _options(names: tuple[str, ...], ours: bytes) -> list[str]:
    return [
        f"{number} | {name} | {'yes' if can else 'no'}"
        for number, (name, can) in enumerate(zip(names, ours, strict=True), 1)
    ]


def _models() -> list[str]:
    return [
        f"{sop_class_name(uid)} | {uid} | {', '.join(level.value for level in model.levels)}"
        for uid, model in sorted((MOVE_MODELS | GET_MODELS).items())
    ]


def _retrieve_statuses() -> list[str]:
    both = (
        (SUCCESS, "no sub-operation failed or had a warning"),
        (SOME_FAILED, "some, but not all failed, or some had a warning"),
        (SUBOPERATIONS_FAILED, "every sub-operation failed"),
        (CANCELLED, "C-CANCEL came"),
        (PENDING, "sub-operations go on"),
        (of_retrieve_error(TooLarge()), "too many match, or the index is away"),
        (of_retrieve_error(InvalidQuery()), "the Identifier does not match the model"),
        (of_retrieve_error(NotPermitted()), "the caller may not retrieve"),
    )
    rows = [(status.code, "yes", "yes", when) for status, when in both]
    rows.append((NO_SUCH_DESTINATION.code, "yes", "", "the Move Destination is not known"))
    return [f"{code:04X}H | {move} | {get} | {when}" for code, move, get, when in sorted(rows)]


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
        *("associations_per_address", "artim_s", "idle_s", "slowest_bytes_s", "response_s"),
    )
    return [f"`dicom.{name}` | {getattr(limits, name)}" for name in names]


def _outcomes() -> list[str]:
    rows = [(code, cause.value) for cause, code in CAUSES.items()]
    rows += [(code, caution.value) for caution, code in CAUTIONS.items()]
    return [f"{code:04X}H | {name}" for code, name in [(0, "stored"), *sorted(rows)]]


def _errors() -> list[str]:
    return [
        f"{cls.__name__} | {store:04X}H | {find:04X}H | {of_retrieve_error(cls()).code:04X}H"
        for cls, (store, find) in ERRORS.items()
    ]


if __name__ == "__main__":
    main()
