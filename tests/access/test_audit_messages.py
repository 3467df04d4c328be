"""DICOM audit messages against the schema of the standard (PS3.15 A.5.1.1), by libxml2."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.access.test_exports import AT, OTHERS, PATIENTS, row, trail
from vna.access.atna import message
from vna.access.coding import _CODINGS
from vna.access.principal import developer
from vna.access.trail import Patient, Trail, Wanted

__all__ = ["trail"]

SCHEMA = Path(__file__).with_name("audit_message.rng")
KINDS = [*_CODINGS, "something.new"]
STRANGE = "\x01<A>&\"'\x0b\ufffe\t \n]]>"
ROWS: dict[str, dict[str, Any]] = {
    **OTHERS,
    "by a person": {"actor_kind": "person", "principal": "ann"},
    "by a strange name": {"principal": STRANGE, "detail": {"to": STRANGE}},
    "of an instance": {"series": "1.2.3", "instance": "1.2.3.4"},
    "failed": {"outcome": "failed"},
    "at a whole second": {"at": AT.replace(microsecond=0)},
    "at a part of one": {"at": AT.replace(microsecond=1)},
    "with much to tell": {"detail": {"to": "X", "studies": ["1.2"] * 3, "ü": [None, True, 1.5]}},
}


def refused(folder: Path, messages: list[bytes]) -> dict[int, str]:
    """Say which messages the schema refuses, by number, each with the validator's words."""
    assert shutil.which("xmllint"), "the tests need xmllint: run `make tools`"
    folder.mkdir(exist_ok=True)
    names = [folder / f"{number}.xml" for number in range(len(messages))]
    for name, one in zip(names, messages, strict=True):
        name.write_bytes(one)
    done = subprocess.run(
        ["xmllint", "--nonet", "--noout", "--relaxng", SCHEMA, *names],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = {Path(name): verdict for name, verdict in _VERDICT.findall(done.stderr)}
    assert set(said) == set(names), done.stderr  # each was looked at
    return {number: done.stderr for number, name in enumerate(names) if said[name] != "validates"}


_VERDICT = re.compile(r"^(\S+\.xml) (validates|fails to validate)$", re.MULTILINE)


def test_every_message_keeps_to_the_schema(tmp_path: Path) -> None:
    """Each kind of act there is, in each form its row may have."""
    patients = PATIENTS | {"1.3": Patient(STRANGE, "a & b")}
    made = {
        (kind, which, bool(known)): message(row(kind, **differs), source, known)
        for kind in KINDS
        for which, differs in ROWS.items()
        for source, known in (("VNA", patients), (STRANGE, {}))
    }
    found = refused(tmp_path / "messages", list(made.values()))
    assert {list(made)[number]: why for number, why in found.items()} == {}


def test_what_is_exported_of_a_real_trail_keeps_to_it(
    trail: tuple[Trail, str], tmp_path: Path
) -> None:
    reader, study = trail
    rows = list(reader.search(developer(), Wanted(), act="export"))
    assert {"instance.stored", "read", "sent", "audit.read"} <= {one.kind for one in rows}
    made = [message(one, "VNA", reader.patients([study])) for one in rows]
    assert refused(tmp_path / "messages", made) == {}


@pytest.mark.parametrize(
    ("was", "wrong"),
    [
        (rb' EventDateTime="[^"]*"', b""),
        (rb'EventDateTime="[^"]*"', b'EventDateTime="yesterday"'),
        (rb'EventOutcomeIndicator="0"', b'EventOutcomeIndicator="1"'),
        (rb'EventActionCode="R"', b'EventActionCode="X"'),
        (rb' originalText="Study Instance UID"', b""),
        (rb'UserIsRequestor="true"', b'UserIsRequestor="yes"'),
        (rb"<AuditSourceIdentification[^>]*/>", b""),
        (rb"<ParticipantObjectName>Study</ParticipantObjectName>", b""),
        (rb'ParticipantObjectTypeCodeRole="3"', b'ParticipantObjectTypeCodeRole="27"'),
        (rb"(<ActiveParticipant.*</ActiveParticipant>|<ActiveParticipant[^>]*/>)", b""),
        (rb"</AuditMessage>", b"<More/></AuditMessage>"),
    ],
)
def test_what_does_not_keep_to_it_is_refused(tmp_path: Path, was: bytes, wrong: bytes) -> None:
    """The validator is one: each rule that is broken is found."""
    good = message(row("read"), "VNA", PATIENTS)
    broken, count = re.subn(was, wrong, good, flags=re.DOTALL)
    assert count
    assert set(refused(tmp_path / "messages", [good, broken])) == {1}
