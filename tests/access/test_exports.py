"""The trail for others: DICOM audit messages, FHIR AuditEvent, accounting of disclosures."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

import vna
from tests.archive import open_archive
from tests.factories import ct
from vna.access import trail as reading
from vna.access.atna import messages
from vna.access.audit import Event
from vna.access.coding import MEANINGS, coding
from vna.access.fhir import audit_event
from vna.access.principal import Principal, developer, system
from vna.access.trail import Patient, Row, Trail, Wanted
from vna.db.pool import Database
from vna.errors import InvalidRequest, NotFound, NotPermitted
from vna.ingest.outcome import Source

AT = dt.datetime(2026, 11, 22, 6, 0, tzinfo=dt.UTC)
KINDS = [
    "query",
    "read",
    "sent",
    "export",
    "instance.stored",
    "instance.version.content",
    "instance.recovered",
    "instance.risen",
    "instance.program",
    "blob.damaged",
    "blob.mended",
    "study.deleted",
    "study.undeleted",
    "commitment.requested",
    "job.queued",
    "job.cancelled",
    "remote.added",
    "index.attribute.added",
    "reindex.begun",
    "audit.read",
    "login",
    "session.ended",
    "patient.linked",
    "share.made",
    "account.roles",
    "account.added",
    "factor.added",
    "token.revoked",
    "archive.backed-up",
    "archive.restored",
    "archive.rekeyed",
    "access.refused",
    "glass.broken",
    "glass.ended",
    "something.new",
]


def row(kind: str, **values: Any) -> Row:
    made = Row(
        audit_id=7,
        at=AT,
        kind=kind,
        outcome="done",
        principal="MODALITY",
        actor_kind="ae",
        address="10.0.0.1",
        study="1.2",
        series=None,
        instance=None,
        detail={"level": "STUDY"},
        event="{}",
        seal_seq=None,
        prev_hash=None,
        hash=None,
    )
    return made._replace(**values)


def one(row: Row, source: str, patients: dict[str, Patient]) -> bytes:
    """The one message of a row."""
    (found,) = messages(row, source, patients)
    return found


PATIENTS = {"1.2": Patient("P<1>", "site")}


def codes_of(cids: tuple[int, ...]) -> dict[str, str]:
    """Codes of context groups as pydicom's own tables have them, with their meanings."""
    found: dict[str, str] = {}
    for cid in cids:
        for name in cid_concepts[cid]["DCM"]:
            for code, (meaning, _) in concepts["DCM"][name].items():
                found[code] = meaning
    return found


def test_every_code_is_one_of_the_standard() -> None:
    known = codes_of((400, 401, 402, 403, 404, 405))
    for code, meaning in MEANINGS.items():
        assert known[code].casefold() == meaning.casefold()


def test_every_kind_of_act_that_is_written_has_a_code_of_its_own() -> None:
    """A new kind must not fall to "use of a restricted function" because nobody thought of it."""
    written = set()
    for path in Path(vna.__file__).parent.rglob("*.py"):
        text = path.read_text()
        if "vna.access.audit import" in text and "Event" in text:
            written |= set(re.findall(r'"([a-z]+(?:\.[a-z-]+)+)"', text))
            written |= set(re.findall(r'kind="([a-z.-]+)"', text))
    assert {"instance.stored", "account.added", "job.queued", "login"} <= written
    assert {kind for kind in written if coding(kind) == coding("something.new")} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_and_its_type_stand_in_their_context_groups(kind: str) -> None:
    code = coding(kind)
    assert code.event in codes_of((400,))
    assert code.type is None or code.type in codes_of((401, 403))


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_has_the_elements_that_are_required(kind: str) -> None:
    root = fromstring(one(row(kind), "VNA", PATIENTS))
    assert root.tag == "AuditMessage"
    order = [child.tag for child in root]
    assert order == sorted(
        order,
        key=[
            "EventIdentification",
            "ActiveParticipant",
            "AuditSourceIdentification",
            "ParticipantObjectIdentification",
        ].index,
    )
    event = root.find("EventIdentification")
    assert event.get("EventActionCode") in "CRUDE"
    assert dt.datetime.fromisoformat(event.get("EventDateTime")) == AT
    assert event.get("EventOutcomeIndicator") == "0"
    assert event.find("EventID").get("codeSystemName") == "DCM"
    people = root.findall("ActiveParticipant")
    assert [p.get("UserIsRequestor") for p in people].count("true") == 1
    assert all(p.get("UserID") for p in people)
    assert root.find("AuditSourceIdentification").get("AuditSourceID") == "VNA"
    for found in root.findall("ParticipantObjectIdentification"):
        assert found.get("ParticipantObjectID")
        assert found.find("ParticipantObjectIDTypeCode").get("csd-code")
        assert found.find("ParticipantObjectIDTypeCode").get("originalText")
    for coded in root.iter():
        if coded.get("csd-code"):
            assert coded.get("originalText")
            assert coded.get("codeSystemName")


def test_a_message_names_study_patient_and_query() -> None:
    root = fromstring(one(row("query"), "VNA", PATIENTS))
    objects = {
        o.find("ParticipantObjectIDTypeCode").get("csd-code"): o
        for o in root.findall("ParticipantObjectIdentification")
    }
    assert objects["110180"].get("ParticipantObjectID") == "1.2"
    assert objects["2"].get("ParticipantObjectID") == "P<1>^^^site"
    asked = base64.b64decode(objects["12"].find("ParticipantObjectQuery").text)
    assert json.loads(asked) == {"level": "STUDY"}


def test_a_peers_name_cannot_break_the_message() -> None:
    name = "\x01<A>&\"'\x0b\ufffe"
    root = fromstring(one(row("read", principal=name), "VNA", {}))
    assert root.find("ActiveParticipant").get("UserID") == "\ufffd<A>&\"'\ufffd\ufffd"


@pytest.mark.parametrize(("outcome", "number"), [("refused", "4"), ("failed", "8"), ("first", "0")])
def test_the_outcome_is_told(outcome: str, number: str) -> None:
    root = fromstring(one(row("read", outcome=outcome), "VNA", {}))
    assert root.find("EventIdentification").get("EventOutcomeIndicator") == number
    assert audit_event(row("read", outcome=outcome), "VNA", {})["outcome"] == number


R4 = {
    "resourceType", "id", "meta", "type", "subtype", "action", "recorded", "outcome", "outcomeDesc",
    "agent", "source", "entity",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_audit_event_has_what_r4_requires(kind: str) -> None:
    made = json.loads(json.dumps(audit_event(row(kind), "VNA", PATIENTS)))
    assert set(made) <= R4
    assert made["resourceType"] == "AuditEvent"
    assert made["type"]["code"] and made["recorded"].endswith("+00:00")  # noqa: PT018 -- both required
    assert made["action"] in "CRUDE"
    assert made["source"]["observer"]["display"] == "VNA"
    assert [agent["requestor"] for agent in made["agent"]].count(True) == 1
    for agent in made["agent"]:
        assert set(agent) <= {"type", "who", "requestor", "network"}
    for entity in made["entity"]:
        assert set(entity) <= {"what", "type", "role", "query"}
        assert ("what" in entity) != ("query" in entity)  # sev-1, and what a query is about
    claims = coding(kind).balp is not None
    assert ("meta" in made) == claims


BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
DCM = "http://dicom.nema.org/resources/ontology/DCM"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
OBJECT = "http://terminology.hl7.org/CodeSystem/object-role"
CUSTODIAN = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"


def _coded(agent: dict[str, Any]) -> tuple[str, str]:
    (coded,) = agent["type"]["coding"]
    return coded["system"], coded["code"]


def keeps_to(made: dict[str, Any], profile: str) -> None:
    """Check an event by the constraints of its profile (BALP 1.1.3, 3:5.7.3 and 3:5.7.7)."""
    what = profile.removeprefix("Patient")
    about_patient = profile != what
    assert made["outcome"] == "0"
    subtypes = [(one["system"], one["code"]) for one in made["subtype"]]
    entities: dict[str, list[dict[str, Any]]] = {"1": [], "2": []}
    for entity in made["entity"]:
        entities[entity["type"]["code"]].append(entity)
    source, destination = (DCM, "110153"), (DCM, "110152")
    if what == "PrivacyDisclosure.Source":
        assert (made["type"]["system"], made["type"]["code"], made["action"]) == (
            DCM,
            "110106",
            "R",
        )
        assert (LIFECYCLE, "disclose") in subtypes
        client, server, about_patient = destination, source, True
        assert len(made["entity"]) >= 2
    else:
        action, code = {
            "Create": ("C", "create"), "Read": ("R", "read"), "Update": ("U", "update"),
            "Delete": ("D", "delete"), "Query": ("E", "search"),
        }[what]  # fmt: skip
        assert (made["type"]["code"], made["action"]) == ("rest", action)
        assert (INTERACTION, code) in subtypes
        client, server = (destination, source) if what == "Read" else (source, destination)
        if what == "Delete":
            client, server = (DCM, "110150"), (CUSTODIAN, "custodian")
            assert len(subtypes) == 1
        (data,) = entities["2"]
        role = (data["role"]["system"], data["role"]["code"])
        if what == "Query":
            assert role == (OBJECT, "24")
            assert base64.b64decode(data["query"])
            assert "what" not in data
        else:
            assert role[0] == OBJECT
            assert role[1] in ("3", "4", "20")
            assert data["what"]["identifier"]["value"]
    for end in (client, server):
        (agent,) = [one for one in made["agent"] if _coded(one) == end]
        assert agent["who"]
        assert agent["network"]["address"]
        if end == server:
            assert agent["who"] == made["source"]["observer"]
    assert len(entities["1"]) == (1 if about_patient else 0)
    for patient in entities["1"]:
        assert (patient["role"]["system"], patient["role"]["code"]) == (OBJECT, "1")
        assert patient["what"]["type"] == "Patient"


OTHERS = {
    "as it is": {},
    "by the archive itself": {"address": None},
    "refused": {"outcome": "refused"},
    "of two studies": {"study": None, "detail": {"studies": ["1.2", "1.3"]}},
    "of no study": {"study": None, "detail": {}},
    "to somebody else": {"detail": {"to": "ELSEWHERE"}},
}


@pytest.mark.parametrize("which", OTHERS)
def test_whoever_claims_a_profile_of_balp_keeps_to_it(which: str) -> None:
    claimed = set()
    for kind in KINDS:
        for patients in (PATIENTS, {}, PATIENTS | {"1.3": Patient("P-2", "site")}):
            made = audit_event(row(kind, **OTHERS[which]), "VNA", patients)
            for name in made.get("meta", {}).get("profile", []):
                keeps_to(made, name.removeprefix(BALP))
                claimed.add(name.removeprefix(BALP))
    every = {"Create", "Read", "Update", "Delete", "Query"}
    every |= {f"Patient{one}" for one in every} | {"PrivacyDisclosure.Source"}
    if which == "as it is":
        assert claimed == every
    assert claimed == set() or which not in ("by the archive itself", "refused")


@pytest.fixture
def trail(tmp_path: Path, database: Database) -> Iterator[tuple[Trail, str]]:
    """A trail that holds one study taken in, read, and sent away with another."""
    with open_archive(tmp_path, database) as archive:
        data_set = ct(patient_id="PAT-1")
        archive.take(data_set.part10())
        study = data_set.study
        who = system("reader")
        with database.transaction() as tx:
            archive.audit.write(
                tx,
                who,
                [
                    Event(kind="read", outcome="first", study=study),
                    Event(kind="read", outcome="first", study="9.9"),
                    Event(kind="sent", outcome="done", detail={"studies": [study, "9.9"]}),
                ],
            )
        yield Trail(database, archive.audit), study


def kinds(rows: Iterator[Row]) -> list[str]:
    return [found.kind for found in rows]


@pytest.mark.parametrize("together", [1, 2, 1000])
def test_the_trail_is_searched(
    trail: tuple[Trail, str], monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """However many rows are looked at, or given, by one statement."""
    reader, study = trail
    monkeypatch.setattr(reading, "_STRETCH", together)
    monkeypatch.setattr(reading, "_PAGE", together)
    me = developer()

    def find(**wanted: Any) -> list[str]:
        return kinds(reader.search(me, Wanted(**wanted), act="search"))

    assert find(studies=[study]) == ["instance.stored", "read", "sent"]
    assert find(kinds=["instance"]) == ["instance.stored"]
    assert find(kinds=["inst"]) == []
    assert find(principal="reader") == ["read", "read", "sent"]
    future = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert find(since=future) == []
    assert find(until=future, kinds=["read"]) == ["read", "read"]
    past = future - dt.timedelta(days=2)
    assert find(since=past, kinds=["read"]) == ["read", "read"]
    assert find(until=past) == []
    looked = list(reader.search(me, Wanted(kinds=["audit.read"]), act="search"))
    assert len(looked) == 9  # each look is a row, this one too
    assert looked[0].detail == {"act": "search", "studies": [study]}


@pytest.mark.parametrize(
    ("completed", "warning", "failed", "outcome"),
    [(3, 0, 0, "0"), (0, 3, 0, "0"), (2, 0, 1, "4"), (0, 0, 3, "8")],
)
def test_a_transfer_that_brought_nothing_is_no_success(
    completed: int, warning: int, failed: int, outcome: str
) -> None:
    """PS3.15 A.5.2: the EventOutcomeIndicator says whether the event went well."""
    tally = {"to": "PACS", "completed": completed, "warning": warning, "failed": failed}
    sent = row("sent", actor_kind="system", detail=tally)
    event = fromstring(one(sent, "VNA", PATIENTS)).find("EventIdentification")
    assert event is not None
    assert event.get("EventOutcomeIndicator") == outcome
    assert audit_event(sent, "VNA", PATIENTS)["outcome"] == outcome


def test_disclosures_of_a_patient_and_of_a_study(trail: tuple[Trail, str]) -> None:
    reader, study = trail
    assert kinds(reader.disclosures(developer(), "PAT-1")) == ["read", "sent"]
    assert kinds(reader.disclosures(developer(), study)) == ["read", "sent"]
    assert kinds(reader.disclosures(developer(), "9.9")) == ["read", "sent"]  # not held any more
    with pytest.raises(NotFound):
        reader.disclosures(developer(), "PAT-2")
    written = list(reader.search(developer(), Wanted(kinds=["audit.read"]), act="search"))
    assert "PAT-1" not in "".join(found.event for found in written)


def test_one_id_of_two_issuers_is_two_patients(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database) as archive:
        here, there = ct(1, patient_id="PAT-1"), ct(2, patient_id="PAT-1")
        archive.take(here.part10())
        brought = Source(proto="stow", issuer="ELSEWHERE")
        receiving = archive.ingest.receive(archive.who, brought)
        receiving.feed(there.part10())
        receiving.finish()
        with database.transaction() as tx:
            read = [
                Event(kind="read", outcome="first", study=one.study) for one in (here, there, here)
            ]
            archive.audit.write(tx, system("reader"), read)
        reader = Trail(database, archive.audit)
        with pytest.raises(InvalidRequest, match="Several issuers"):
            reader.disclosures(developer(), "PAT-1")
        for issuer, one, count in (("LOCAL", here, 2), ("ELSEWHERE", there, 1)):
            rows = list(reader.disclosures(developer(), "PAT-1", issuer=issuer))
            assert [row.study for row in rows] == [one.study] * count
        assert kinds(reader.disclosures(developer(), there.study)) == ["read"]
        with pytest.raises(NotFound):
            reader.disclosures(developer(), "PAT-1", issuer="NOWHERE")


def test_of_whom_somebody_saw_something_is_told(tmp_path: Path, database: Database) -> None:
    """Of one principal, one address, in one time: what a breach is reported by."""
    with open_archive(tmp_path, database) as archive:
        made = [ct(1, patient_id="B"), ct(2, patient_id="A"), ct(3, patient_id="A")]
        for instance in made:
            archive.take(instance.part10())
        b1, a2, a3 = (instance.study for instance in made)
        carol, dave = system("carol"), replace(system("dave"), address="10.9.8.7")

        def note(who: Principal, kind: str, study: str | None, **detail: object) -> None:
            event = Event(kind=kind, outcome="done", study=study, detail=detail)
            with database.transaction() as tx:
                archive.audit.write(tx, who, [event])

        note(carol, "read", a2)
        note(carol, "read", a2)
        note(carol, "sent", None, studies=[a3, b1])
        note(carol, "query", None, studies=[b1])  # a list of results is none
        note(carol, "read", "9.9")  # not held any more
        note(dave, "share.made", b1)

        reader = Trail(database, archive.audit)

        def found(**wanted: object) -> list[tuple[str | None, int, list[str]]]:
            rows = reader.affected(developer(), Wanted(**wanted))
            assert all(one.first <= one.last for one in rows)
            return [(one.patient and one.patient.patient_id, one.acts, one.studies) for one in rows]

        of_carol = [(None, 1, ["9.9"]), ("A", 3, [a2, a3]), ("B", 1, [b1])]
        assert found(principal="carol") == of_carol
        assert found(address="10.9.8.7") == [("B", 1, [b1])]
        assert found(principal="carol", address="10.9.8.7") == []
        now = dt.datetime.now(dt.UTC)
        assert found(principal="carol", since=now) == []
        assert found(principal="carol", until=now) == of_carol
        asked = list(reader.search(developer(), Wanted(kinds=["audit.read"]), act="search"))
        assert asked[0].detail["act"] == "affected"
        assert asked[0].detail["principal"] == "carol"


def test_who_may_not_manage_may_not_look(trail: tuple[Trail, str]) -> None:
    nobody = replace(developer(), actions=frozenset())
    with pytest.raises(NotPermitted):
        trail[0].search(nobody, Wanted(), act="search")
    with pytest.raises(NotPermitted):
        trail[0].disclosures(nobody, "PAT-1")
    with pytest.raises(NotPermitted):
        trail[0].affected(nobody, Wanted())
