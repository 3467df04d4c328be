"""DICOM audit messages against the schema of the standard (PS3.15 A.5.1.1), by libxml2."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml.ElementTree import fromstring

from tests.access.test_exports import AT, OTHERS, PATIENTS, one, row, trail
from vna.access.atna import messages
from vna.access.coding import _CODINGS, coding
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


def refused(folder: Path, written: list[bytes]) -> dict[int, str]:
    """Say which messages the schema refuses, by number, each with the validator's words."""
    assert shutil.which("xmllint"), "the tests need xmllint: run `make tools`"
    folder.mkdir(exist_ok=True)
    names = [folder / f"{number}.xml" for number in range(len(written))]
    for name, content in zip(names, written, strict=True):
        name.write_bytes(content)
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
        (kind, which, bool(known), number): found
        for kind in KINDS
        for which, differs in ROWS.items()
        for source, known in (("VNA", patients), (STRANGE, {}))
        for number, found in enumerate(messages(row(kind, **differs), source, known))
    }
    found = refused(tmp_path / "messages", list(made.values()))
    assert {list(made)[number]: why for number, why in found.items()} == {}


def test_what_is_exported_of_a_real_trail_keeps_to_it(
    trail: tuple[Trail, str], tmp_path: Path
) -> None:
    reader, study = trail
    rows = list(reader.search(developer(), Wanted(), act="export"))
    assert {"instance.stored", "read", "sent", "audit.read"} <= {act.kind for act in rows}
    whose = reader.patients([study])
    made = [found for act in rows for found in messages(act, "VNA", whose)]
    assert refused(tmp_path / "messages", made) == {}


STUDY, PATIENT, LOG, URI = ("2", "3", "110180"), ("1", "1", "2"), ("2", "13", "12"), "12"
ONE, SOME = (1, 1), (1, 99)


@dataclass(frozen=True, slots=True)
class Wants:
    """What a message of A.5.3 has to be: by section, with how often who takes part in which role.

    `roles` are those of the others than who asked alone; `objects` hold for a row that names its
    study and a study whose patient is known.
    """

    section: str
    actions: str
    roles: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    objects: Mapping[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    is_typed: bool = False


WANTS = {
    "110101": Wants("A.5.3.2", "R", objects={LOG: ONE}),
    "110102": Wants(
        "A.5.3.3",
        "E",
        {"110153": ONE, "110152": ONE},
        {STUDY: SOME, PATIENT: ONE},
    ),
    "110106": Wants("A.5.3.4", "R", {"110153": (1, 2), "110154": ONE}, {PATIENT: SOME}),
    "110107": Wants("A.5.3.5", "C", {"110152": SOME, "110155": ONE}, {PATIENT: SOME}),
    "110103": Wants("A.5.3.6", "CRUD", {}, {STUDY: SOME, PATIENT: ONE}),
    "110104": Wants(
        "A.5.3.7",
        "CRU",
        {"110153": ONE, "110152": ONE},
        {STUDY: SOME, PATIENT: ONE},
    ),
    "110105": Wants("A.5.3.8", "D", {}, {STUDY: SOME, PATIENT: ONE}),
    "110112": Wants("A.5.3.10", "E", {"110153": ONE, "110152": ONE}, {("2", "3", URI): ONE}),
    "110113": Wants("A.5.3.11", "E", objects={("2", "5", URI): ONE}, is_typed=True),
    "110114": Wants("A.5.3.12", "E", is_typed=True),
    "110110": Wants("A.5.3.14", "CRUD", {}, {PATIENT: ONE}),
}


def _roles(root: Element) -> Counter[str]:
    people = root.findall("ActiveParticipant")
    return Counter(code.get("csd-code") for who in people for code in who.findall("RoleIDCode"))


def _objects(root: Element) -> Counter[tuple[str, str, str]]:
    return Counter(
        (
            found.get("ParticipantObjectTypeCode"),
            found.get("ParticipantObjectTypeCodeRole"),
            found.find("ParticipantObjectIDTypeCode").get("csd-code"),
        )
        for found in root.findall("ParticipantObjectIdentification")
    )


@pytest.mark.parametrize("which", ROWS)
def test_every_message_has_who_and_what_its_event_asks_for(which: str) -> None:
    """PS3.15 A.5.3: the action, the parts taken, the objects, of each event."""
    # of a row without a study, or with one that is not held, nobody knows whose it was
    named = {"study": "1.2"} if ROWS[which].get("study", "") is None else {}
    for kind in KINDS:
        act = row(kind, **ROWS[which] | named)
        wants, found = WANTS[coding(kind).event], fromstring(one(act, "VNA", PATIENTS))
        about, event = (kind, wants.section), found.find("EventIdentification")
        assert event.get("EventActionCode") in wants.actions, about
        assert (event.find("EventTypeCode") is not None) or not wants.is_typed, about
        roles, things = _roles(found), _objects(found)
        for role, (least, most) in wants.roles.items():
            assert least <= roles[role] <= most, (*about, role)
        for thing, (least, most) in wants.objects.items():
            assert least <= things[thing] <= most, (*about, thing)
        people = found.findall("ActiveParticipant")
        assert [who.get("UserIsRequestor") for who in people].count("true") == 1, about
        for who in people:
            assert (who.get("NetworkAccessPointID") is None) == (
                who.get("NetworkAccessPointTypeCode") is None
            ), about
        if coding(kind).event == "110114":
            assert people[0].get("NetworkAccessPointID"), about
        for media in found.iter("MediaIdentifier"):
            assert media.find("MediaType").get("csd-code") == "110037", about


def test_what_is_about_two_patients_is_told_of_each_alone() -> None:
    whose = {
        "1.2": Patient("P1", "site"),
        "1.3": Patient("P2", "site"),
        "1.4": Patient("P1", "site"),
    }
    several = row("sent", study=None, detail={"to": "X", "studies": ["1.2", "1.3", "1.4", "1.5"]})
    told = [fromstring(found) for found in messages(several, "VNA", whose)]
    named = [
        [x.get("ParticipantObjectID") for x in found.findall("ParticipantObjectIdentification")]
        for found in told
    ]
    assert named == [["1.2", "1.4", "P1^^^site"], ["1.3", "P2^^^site"], ["1.5"]]
    assert {found.find("EventIdentification").get("EventActionCode") for found in told} == {"R"}


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
    good = one(row("read"), "VNA", PATIENTS)
    broken, count = re.subn(was, wrong, good, flags=re.DOTALL)
    assert count
    assert set(refused(tmp_path / "messages", [good, broken])) == {1}
