"""A hospital in which everything that belongs to a study is there, of each sort of reach.

Of each study: a share with its grant and message, a disc, a consent with what goes out by it, a
correction, an identity, an account where somebody has one, and what such a person did themselves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import TestPostgres
from tests.factories import Instance, ct
from tests.web.conftest import Site, serving
from tests.web.guests import coded, offered
from tests.web.people import (
    SHELL,
    Surfer,
    bearer,
    patient_of,
    people_of,
    signed_in,
    token_of,
    withhold,
)
from vna.access import roles
from vna.access.care import Whom
from vna.access.principal import Action, Label
from vna.access.remotes import Remote
from vna.access.roles import Role, Roles
from vna.dicom.refs import StudyRef, uid
from vna.operate.carers import Given, Relation
from vna.sharing.consents import Consent
from vna.sharing.plans import Plan
from vna.sharing.values import Confirmed, Person, Purpose, Recipient, channel

ROOT = Path(__file__).resolve().parents[2]
BORN = {"PatientBirthDate": "19700101", "PatientSex": "F"}
CLINIC = """
[clinic]
description = "All that anybody may do, for those it treats alone"
actions = [%s]
reach = "granted"
"""
_OF_OTHERS = (Action.ACCOUNTS, Action.SHARE_OWN, Action.UPLOAD)  # no staff at a patient's side


@dataclass(slots=True)
class Holding:
    """A study with all below it: identifiers by name, as they stand in requests."""

    one: Instance
    names: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Hospital:
    """A site, somebody of each role who is signed in, and what is held in each sort of reach."""

    site: Site
    roles: Roles
    people: dict[str, Surfer]
    tokens: dict[str, dict[str, str]]  # of a program of each role, as a header
    held: dict[str, Holding]
    nowhere: Holding

    def sees(self, role: str, which: str) -> bool:
        """Say whether a role reaches what is held, by what was given, ended and withheld."""
        found = self.roles.by_name[role]
        if found.is_own:
            return which in ("own", "given")
        if not found.scope.everything:
            return which == "given"
        return which != "withheld" or Label.SENSITIVE in found.clearances

    def role(self, name: str) -> Role:
        return self.roles.by_name[name]


KINDS = ("own", "given", "ended", "other", "withheld")
"""Of the patient who has an account; given by a care relation, or linked with one's own; given
once and no more; never; and given, and labelled then."""


@contextmanager
def hospital(postgres: TestPostgres, folder: Path) -> Iterator[Hospital]:
    """Serve an archive in which everything is there."""
    file = folder / "roles.toml"
    many = ", ".join(f'"{one.value}"' for one in Action if one not in _OF_OTHERS)
    file.write_text((ROOT / "conf" / "roles.toml").read_text() + CLINIC % many)
    with serving(
        postgres, folder, dev=False, access={"roles": str(file)}, guests={"enabled": True}
    ) as site:
        site.archive.remotes.add(SHELL, Remote(ae_title="PACS", host="127.0.0.1", port=1))
        desk = {"import": str(site.archive.imports.begin(SHELL, note="A disc"))}
        held = {kind: _held(site, number) for number, kind in enumerate(KINDS, 701)}
        found = Hospital(site, roles.load(str(file)), {}, {}, held, _nowhere())
        for one in (*held.values(), found.nowhere):
            one.names |= desk
        _link(found)
        withhold(site, held["withheld"].one.study)  # before anybody signs in
        own = patient_of(site, held["own"].one.study)
        stranger = patient_of(site, held["other"].one.study)
        for who, holding in ((own, held["own"]), (stranger, held["other"])):
            _of_patient(site, who, holding)
        _act_for_each_other(site, (own, held["own"]), (stranger, held["other"]))
        found.people["patient"] = own
        for name, role in found.roles.by_name.items():
            if role.is_own:
                continue
            found.people[name] = signed_in(site, f"p-{name}", name)
            found.tokens[name] = bearer(token_of(site, f"s-{name}", name))
            if not role.scope.everything:
                _give(found, f"p-{name}")
                _give(found, f"s-{name}")
        yield found


def image(number: int, instance: int = 1) -> Instance:
    """Make an image of somebody: one number names the study and its patient."""
    values = {**BORN, "AccessionNumber": f"A-{number}"}
    return ct(number, 1, instance, patient_id=f"P-{number}", rows=8, columns=8, values=values)


def _held(site: Site, number: int) -> Holding:
    """Take a study in, and make of everything one."""
    archive, one = site.archive, image(number)
    names = {
        "study": one.study, "series": one.series, "instance": one.instance,
        "patient": one.patient_id, "number": str(number), "transaction": f"1.2.3.{number}",
    }  # fmt: skip
    person = Person(
        name="Doe, Jane",
        birth_date=dt.date(1970, 1, 1),
        confirmed=frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE}),
    )
    plan = Plan(
        person=person,
        recipient=Recipient(name="Jane Doe"),
        to=channel("email", f"jane{number}@example.org"),
        by=channel("sms", f"+447700900{number}"),
    )
    consent = Consent(
        issuer="LOCAL",
        patient_id=one.patient_id,
        purpose="patient-request",
        allowed=True,
        text_version=archive.sharing.texts.latest("patient-request", "en").version,
        signed_by="Jane Doe",
        way="paper",
    )
    names["consent"] = str(archive.sharing.consents.record(SHELL, consent, plan=plan))
    archive.take(one.part10())
    made = offered(site, one, **coded(), purpose=Purpose.PATIENT_REQUEST)
    names |= {"share": str(made.share_id), "grant": str(made.grant_id)}
    names |= _waiting(site, one, person)
    (message, *_) = archive.messages.listed(SHELL, share_id=made.share_id)
    names["message"] = str(message.message_id)
    with archive.database.transaction() as tx:
        tx.execute(
            "UPDATE message SET state = 'dead', cause = 'network', next_at = NULL"
            " WHERE state = 'queued'"
        )
    names["disc"] = str(archive.discs.ask(SHELL, [StudyRef(uid(one.study))]))
    study = uid(one.study)
    archive.corrections.correct(SHELL, study, {"StudyDescription": "Chest"}, reason="Wrong entry")
    names["correction"] = archive.corrections.history(SHELL, study)[-1].id.hex()
    archive.identities.keep_up()
    (identity,) = archive.identities.views.named(SHELL, "LOCAL", one.patient_id)
    names["identity"] = identity.id.hex()
    names["carer"] = _carer(site, one)
    return Holding(one, names)


def _waiting(site: Site, one: Instance, person: Person) -> dict[str, str]:
    """Share with whom it shows at two addresses that are new: each waits for a second person."""
    to_her = {"person": person, "recipient": Recipient(name="Jane Doe")}
    known = offered(site, one, **to_her, **coded("jane@example.net"))
    with site.archive.database.transaction() as tx:
        opened = "UPDATE share_grant SET last_open_at = now() WHERE grant_id = %s"
        tx.execute(opened, (known.grant_id,))
    names = {}
    for what in ("agree", "refuse"):
        made = offered(site, one, **to_her, **coded(f"{what}@example.net"))
        assert made.doubt is not None
        names[what] = str(made.share_id)
    return names


def _carer(site: Site, one: Instance) -> str:
    """Let somebody act for whom a study is about; give the number of it."""
    desk, study = site.archive.carers.desk, uid(one.study)
    until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=9)
    given = Given(called="Ned", may_view=True, may_share=False, until=until)
    desk.add(SHELL, study, given, relation=Relation.GUARDIAN, evidence=["court-order"], login="")
    (named,) = desk.at(SHELL, study).carers
    return str(named.carer.carer_id)


def _nowhere() -> Holding:
    """Name what nobody has."""
    one = image(799)
    numbers = (
        "share",
        "grant",
        "message",
        "disc",
        "consent",
        "binding",
        "draft",
        "request",
        "carer",
        "ward",
        "agree",
        "refuse",
    )
    return Holding(
        one,
        {
            "study": one.study, "series": one.series, "instance": one.instance,
            "patient": one.patient_id, "number": "799", "transaction": "1.2.3.799",
            "correction": "0" * 32, "identity": "0" * 32, "twin": "1" * 32,
            "mine": "987654", "mygrant": "987654",
            **dict.fromkeys(numbers, "987654"),
        },
    )  # fmt: skip


def _link(found: Hospital) -> None:
    """Make three identities one person with the patient's own, and one of them no more."""
    engine, names = found.site.archive.identities, {k: h.names for k, h in found.held.items()}
    own = bytes.fromhex(names["own"]["identity"])
    for kind in ("given", "withheld", "ended"):
        found.site.archive.join(own, bytes.fromhex(names[kind]["identity"]))
        names[kind]["twin"] = names["own"]["identity"]
    names["other"]["twin"] = names["own"]["identity"]
    engine.part(SHELL, own, bytes.fromhex(names["ended"]["identity"]), reason="Her sister")
    for one in names.values():  # parting suspended what was shared: a desk has looked
        archive = found.site.archive
        for share_id in (int(one[name]) for name in ("share", "agree", "refuse")):
            detail = archive.sharing.detail(SHELL, share_id)
            if detail.summary.state.value == "suspended":
                archive.sharing.reinstate(SHELL, share_id)


def _give(found: Hospital, login: str) -> None:
    """Let an account see three studies, and one of them no more."""
    care = people_of(found.site).care
    for kind in ("given", "withheld", "ended"):
        whom = Whom(study=uid(found.held[kind].one.study))
        number = care.give(SHELL, login, whom, ground="referring", days=7)
    care.end(SHELL, number)


def _of_patient(site: Site, who: Surfer, holding: Holding) -> None:
    """Share, begin to share, and ask, as a patient does by themselves."""
    archive, study = site.archive, uid(holding.one.study)
    visitor = archive.people.sessions.visitor(who.cookie(), None)
    assert visitor is not None
    login = visitor.login
    (bound,) = archive.patient_accounts.holder(SHELL, study).bindings
    holding.names["binding"] = str(bound.binding_id)
    chosen = {f"study.{holding.one.study}": "on", "reports": "on"}
    until = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=9)).isoformat()
    whom = {"recipient": "Dr Kim", "way": "email", "email": "kim@example.org", "language": "en"}
    how = {"code": "sms", "code_phone": "+447700900123", "until": until, "download": "on"}
    draft = _draft(who, chosen)
    holding.names["draft"] = _draft(who, chosen)
    for path in (f"/my/share/{draft}", f"/my/share/{holding.names['draft']}"):
        assert who.post(f"{path}/whom", **whom).status_code == 303
        assert who.post(f"{path}/how", **how).status_code == 303
    assert who.post(f"/my/share/{draft}/send", f"/my/share/{draft}/check").status_code == 200
    with archive.database.reading() as conn:
        mine = "SELECT share_id, grant_id FROM share s JOIN share_grant USING (share_id)"
        row = conn.execute(f"{mine} WHERE s.owner = %s", (login,)).fetchone()
        assert row is not None
        holding.names |= {"mine": str(row[0]), "mygrant": str(row[1])}
    asked = {"kind": "correct", "words": "My name is wrong.", "study": holding.one.study}
    assert who.post("/my/requests", **asked).status_code == 303
    with archive.database.reading() as conn:
        own = "SELECT request_id FROM patient_request WHERE owner = %s"
        row = conn.execute(own, (login,)).fetchone()
    assert row is not None
    holding.names["request"] = str(row[0])


def _act_for_each_other(
    site: Site, one: tuple[Surfer, Holding], other: tuple[Surfer, Holding]
) -> None:
    """Let each of two patients act for the other: `ward` is the number under which one does."""
    until = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=9)).isoformat()
    given = {"act": "give", "called": "Kim", "may_view": "on", "until": until}
    for (who, _), (carer, theirs) in ((one, other), (other, one)):
        visitor = site.archive.people.sessions.visitor(carer.cookie(), None)
        assert visitor is not None
        assert who.post("/my/carers", login=visitor.login, **given).status_code == 303
        with site.archive.database.reading() as conn:
            latest = "SELECT carer_id FROM carer ORDER BY given_at DESC LIMIT 1"
            row = conn.execute(latest).fetchone()
        assert row is not None
        theirs.names["ward"] = str(row[0])


def _draft(who: Surfer, chosen: dict[str, str]) -> str:
    where = who.post("/my/share", **chosen).headers["location"]
    return where.split("/")[3]
