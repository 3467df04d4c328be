"""A link that shows more of somebody to others takes two people; nothing is linked before."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.archive import Archive
from tests.operate.test_identities import one, persons, take, work
from tests.together import together
from vna.access.principal import Action, Kind, Principal, Scope, developer, system
from vna.blobs.journal import Journal
from vna.cli import patients as command
from vna.dicom.refs import UID, StudyRef
from vna.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    NotPermitted,
    NotProven,
    Unavailable,
    VNAError,
)
from vna.operate.carers import Given, Relation
from vna.operate.identity_views import Proposal
from vna.sharing.values import Confirmed, Offer, Person, Protection, Purpose, Recipient

WHY = "Showed us both cards"
Pair = tuple[bytes, bytes]


def clerk(name: str, kind: Kind = Kind.PERSON) -> Principal:
    return Principal(
        kind=kind, name=name, actions=frozenset([Action.CORRECT]), scope=Scope(everything=True)
    )


ANN, BOB, SCRIPT = clerk("ann"), clerk("bob"), clerk("script", Kind.SERVICE)


def two(archive: Archive) -> tuple[str, Pair]:
    """Two who may be one; a study of the first."""
    study = take(archive, "P-1")
    take(archive, "P-2")
    return study, (one(archive, "P-1").id, one(archive, "P-2").id)


def share(archive: Archive, study: str) -> None:
    person = Person(
        name="Doe, Jane",
        birth_date=dt.date(1970, 1, 1),
        confirmed=frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE}),
    )
    offer = Offer(
        studies=frozenset({StudyRef(UID(study))}),
        person=person,
        recipient=Recipient(name="Dr. Gray", organisation="Elsewhere"),
        purpose=Purpose.TREATMENT,
        to=None,
        proof=frozenset({Protection.PASSCODE}),
        until=dt.datetime.now(dt.UTC) + dt.timedelta(days=20),
        legal_basis="treatment",
    )
    archive.sharing.offer(archive.who, offer)


def account(archive: Archive, study: str) -> None:
    compared = ("name", "birth-date")
    archive.patient_accounts.issue(archive.who, UID(study), compared=compared, binding_id=None)


def carer(archive: Archive, study: str) -> None:
    until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=9)
    given = Given(called="Ned", may_view=True, may_share=False, until=until)
    how = {"relation": Relation.GUARDIAN, "evidence": ["court-order"], "login": ""}
    archive.carers.desk.add(archive.who, UID(study), given, **how)  # type: ignore[arg-type]  # of each name


def proposed(archive: Archive) -> Pair:
    """Two of whom the first is shared, proposed by Ann."""
    study, pair = two(archive)
    share(archive, study)
    assert isinstance(archive.identities.link(ANN, *pair, reason=WHY), Proposal)
    return pair


def told(archive: Archive) -> list[tuple[Any, ...]]:
    with archive.database.reading() as conn:
        return conn.execute(
            "SELECT kind, principal FROM audit WHERE kind LIKE 'identity.%' ORDER BY id"
        ).fetchall()


def ended(archive: Archive) -> list[tuple[Any, ...]]:
    with archive.database.reading() as conn:
        return conn.execute("SELECT outcome, ended_by FROM identity_proposal").fetchall()


@pytest.mark.parametrize("showing", [share, account, carer])
def test_whoever_is_shown_to_others_is_linked_by_two(
    archive: Archive, showing: Callable[[Archive, str], None]
) -> None:
    study, (first, second) = two(archive)
    showing(archive, study)
    engine = archive.identities
    made = engine.link(ANN, second, first, reason=WHY)  # from either side
    assert isinstance(made, Proposal)
    assert len(persons(archive)) == 2
    assert work(archive) == []
    (waits,) = engine.views.proposed(BOB)
    assert (waits.proposal, waits.case.rule) == (made, "R5")
    assert {waits.first.id, waits.second.id} == {first, second}
    with pytest.raises(Conflict, match="yourself"):
        engine.agree(ANN, first, second, is_fresh=True)
    with pytest.raises(NotPermitted):
        engine.agree(SCRIPT, first, second, is_fresh=True)
    with pytest.raises(NotProven):
        engine.agree(BOB, first, second, is_fresh=False)
    for who in (ANN, BOB):
        with pytest.raises(Conflict, match="proposed this already"):
            engine.link(who, first, second, reason="Me, too")
    assert len(persons(archive)) == 2
    with pytest.raises(NotFound, match="any more"):  # a page that shows an earlier one
        engine.agree(BOB, first, second, is_fresh=True, number=made.number - 1)
    assert len(persons(archive)) == 2
    assert len(engine.agree(BOB, second, first, is_fresh=True, number=made.number)) == 2
    assert len(persons(archive)) == 1
    assert told(archive) == [("identity.proposed", "ann"), ("identity.link", "bob")]
    with pytest.raises(NotFound, match="any more"):
        engine.agree(BOB, first, second, is_fresh=True)


def test_nobody_is_shown_and_one_word_is_enough(archive: Archive) -> None:
    study, pair = two(archive)
    share(archive, study)
    (shared,) = archive.sharing.shares(archive.who)
    archive.sharing.revoke(archive.who, shared.share_id, reason="Wrong address")
    assert not isinstance(archive.identities.link(ANN, *pair, reason=WHY), Proposal)
    assert len(persons(archive)) == 1
    assert told(archive) == [("identity.link", "ann")]


def test_it_is_enough_that_somebody_linked_with_one_is_shown(archive: Archive) -> None:
    study, (first, second) = two(archive)
    take(archive, "P-3", "Roe^Rita")
    third = one(archive, "P-3").id
    archive.identities.link(ANN, second, third, reason=WHY)
    share(archive, study)
    assert isinstance(archive.identities.link(ANN, first, third, reason=WHY), Proposal)
    archive.identities.proposals.refuse(BOB, first, third, reason="Not these")
    archive.join(first, second)
    take(archive, "P-4", "Moe^Mia")
    fourth = one(archive, "P-4").id
    assert isinstance(archive.identities.link(ANN, third, fourth, reason=WHY), Proposal)


@pytest.mark.parametrize("first", ["link", "agree"])
def test_of_two_links_at_once_the_second_is_looked_at_with_the_first_in_sight(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Neither of Ann's two is shown to anybody, until Bob agrees that one of them is a third."""
    shown, middle = proposed(archive)
    take(archive, "P-4", "Moe^Mia")
    other = one(archive, "P-4").id
    engine = archive.identities

    def link() -> object:
        return engine.link(ANN, middle, other, reason=WHY)

    def agree() -> object:
        return engine.agree(BOB, shown, middle, is_fresh=True)

    with together(archive.database, monkeypatch) as meanwhile:
        if first == "link":
            second = meanwhile(Journal, "append", agree)
            link()
            with pytest.raises(NotFound, match="any more"):
                second.result()
        else:
            second = meanwhile(Journal, "append", link)
            agree()
            assert isinstance(second.result(), Proposal)
    assert one(archive, "P-1").person != one(archive, "P-4").person


def test_both_names_come_back_with_a_rebuilt_index_and_what_waits_goes_on_waiting(
    archive: Archive,
) -> None:
    pair = proposed(archive)
    archive.recovery.reindex()
    archive.identities.keep_up()
    archive.identities.proposals.sweep()
    assert len(persons(archive)) == 2
    assert [waits.proposal.proposed_by for waits in archive.identities.views.proposed(BOB)] == [
        "ann"
    ]
    archive.identities.agree(BOB, *pair, is_fresh=True)
    for again in (False, True):
        if again:
            archive.recovery.reindex()
            archive.identities.keep_up()
        assert len(persons(archive)) == 1
        person = archive.identities.views.person(BOB, pair[0])
        (act,) = person.history
        assert (act.proposed_by, act.actor, act.reason) == ("ann", "bob", WHY)
        (case,) = person.cases
        assert (case.proposed_by, case.decided_by) == ("ann", "bob")
    assert ended(archive) == [("agreed", "bob")]


def test_who_refuses_says_why_and_it_is_open_again(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = proposed(archive)
    refuse = archive.identities.proposals.refuse
    for wrong in (" ", "two\nlines", "x" * 501):
        with pytest.raises(InvalidRequest):
            refuse(BOB, *pair, reason=wrong)
    refuse(BOB, *pair, reason="Another mother")
    assert work(archive) == [("R5", "open")]
    (waits,) = archive.identities.views.worklist(ANN)
    assert waits.refused is not None
    assert (waits.refused.proposed_by, waits.refused.refused_by) == ("ann", "bob")
    assert waits.refused.reason == "Another mother"
    assert "mother" not in repr(waits.refused)
    command.act(
        archive.identities,
        system("shell:root"),
        argparse.Namespace(act="work", json=False),
        issuer="",
    )
    assert "ann proposed it, bob refused: Another mother" in capsys.readouterr().out
    archive.identities.link(BOB, *pair, reason=WHY)
    refuse(BOB, *pair, reason="I was wrong")
    assert ended(archive) == [("refused", "bob"), ("withdrawn", "bob")]
    assert [kind for kind, _ in told(archive)] == [
        "identity.proposed",
        "identity.refused",
        "identity.proposed",
        "identity.withdrawn",
    ]
    assert len(persons(archive)) == 2
    for act in (
        lambda: refuse(BOB, *pair, reason="Again"),
        lambda: archive.identities.agree(ANN, *pair, is_fresh=True),
    ):
        with pytest.raises(NotFound, match="any more"):
            act()


def test_what_waits_names_nobody_of_whom_a_label_withholds_every_study(archive: Archive) -> None:
    first, _ = proposed(archive)
    studies = archive.identities.views.person(archive.who, first).studies
    withheld = frozenset(study for study, identity in studies if identity == first)
    scope = dataclasses.replace(BOB.scope, withheld=withheld)
    views = archive.identities.views
    assert len(views.proposed(BOB)) == 1
    assert views.proposed(dataclasses.replace(BOB, scope=scope)) == []


def test_that_they_are_two_is_one_person_s_word_and_ends_it(archive: Archive) -> None:
    pair = proposed(archive)
    archive.identities.part(BOB, *pair, reason="Sisters")
    assert ended(archive) == [("decided", "bob")]
    with pytest.raises(NotFound):
        archive.identities.agree(BOB, *pair, is_fresh=True)
    assert len(persons(archive)) == 2


def dies(archive: Archive, pair: Pair) -> None:
    archive.identities.deceased(archive.who, pair[0], dt.date(2020, 1, 1), reason="Register")


def is_linked(archive: Archive, pair: Pair) -> None:
    take(archive, "P-9", "Roe^Rita")
    archive.join(pair[1], one(archive, "P-9").id)


def goes_by(archive: Archive, _pair: Pair) -> None:
    with archive.database.transaction() as tx:
        tx.execute(
            "UPDATE identity_proposal SET proposed_at = proposed_at - interval '15 days',"
            " ends_at = ends_at - interval '15 days'"
        )


@pytest.mark.parametrize(
    ("happens", "outcome"), [(dies, "changed"), (is_linked, "changed"), (goes_by, "lapsed")]
)
def test_it_ends_by_itself_and_by_what_changes(
    archive: Archive, happens: Callable[[Archive, Pair], None], outcome: str
) -> None:
    pair = proposed(archive)
    happens(archive, pair)
    assert archive.identities.views.proposed(BOB) == []  # at once, before anybody has cleared up
    with pytest.raises(NotFound, match="any more"):
        archive.identities.agree(BOB, *pair, is_fresh=True)
    archive.identities.proposals.sweep()
    assert ended(archive) == [(outcome, "upkeep")]
    assert (f"identity.{outcome}", "upkeep") in told(archive)
    assert isinstance(archive.identities.link(BOB, *pair, reason=WHY), Proposal)  # anew


def test_what_a_crash_kept_from_the_index_is_linked_and_proposed_no_more(archive: Archive) -> None:
    pair = proposed(archive)
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE identity_act ADD CONSTRAINT away CHECK (false) NOT VALID")
    with pytest.raises(Unavailable, match="written down"):
        archive.identities.agree(BOB, *pair, is_fresh=True)
    assert (len(persons(archive)), ended(archive)) == (2, [(None, None)])
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE identity_act DROP CONSTRAINT away")
    assert archive.identities.catch_up(older_s=0.0) == 1
    assert (len(persons(archive)), ended(archive)) == (1, [("agreed", "bob")])


def test_the_database_knows_nobody_as_their_own_second_person(archive: Archive) -> None:
    proposed(archive)
    with pytest.raises(VNAError), archive.database.transaction() as tx:
        tx.execute(
            "UPDATE identity_proposal SET ended_at = now(), ended_by = 'ann', outcome = 'agreed'"
        )


def test_who_is_alone_with_a_developer_s_archive_agrees_with_themselves(archive: Archive) -> None:
    study, pair = two(archive)
    share(archive, study)
    alone = developer()
    assert isinstance(archive.identities.link(alone, *pair, reason=WHY), Proposal)
    archive.identities.agree(alone, *pair, is_fresh=True)
    assert len(persons(archive)) == 1


def test_it_needs_the_right_and_all_of_the_archive(archive: Archive) -> None:
    pair = proposed(archive)
    reader = dataclasses.replace(BOB, actions=frozenset([Action.QUERY]))
    narrow = dataclasses.replace(BOB, scope=Scope(studies=frozenset([UID("1.2")])))
    engine = archive.identities
    for who, refusal in ((reader, NotPermitted), (narrow, NotFound)):
        for act in (
            engine.views.proposed,
            lambda who: engine.agree(who, *pair, is_fresh=False),
            lambda who: engine.proposals.refuse(who, *pair, reason=WHY),
        ):
            with pytest.raises(refusal):
                act(who)


def test_all_at_the_shell_are_one_person(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    study, pair = two(archive)
    share(archive, study)
    names = [one.hex() for one in pair]

    def run(who: str, act: str, *words: str) -> str:
        said = argparse.Namespace(act=act, json=bool(words and words[0] == "--json"))
        if act in ("link", "agree", "refuse"):
            said.first, said.second, said.reason = *names, WHY
        command.act(archive.identities, system(f"shell:{who}"), said, issuer="LOCAL")
        return capsys.readouterr().out

    assert run("root", "link").startswith("proposed, not linked: a second person agrees until 20")
    shown = run("ann", "work")
    assert f"proposed by shell:root: {WHY}" in shown
    assert shown.count("P-1") == 1
    assert '"proposed_by": "shell:root"' in run("ann", "work", "--json")
    for who in ("root", "ann"):
        with pytest.raises(Conflict, match="yourself"):
            run(who, "agree")
    assert run("ann", "refuse") == ""
    assert ended(archive) == [("withdrawn", "shell:ann")]
    archive.identities.link(ANN, *pair, reason=WHY)
    assert run("root", "agree").startswith("linked; look at what was shared of:\n")
    command_said = argparse.Namespace(act="show", json=False, issuer=None, patient="P-1")
    command.act(archive.identities, system("shell:root"), command_said, issuer="LOCAL")
    assert "identity-link by ann and shell:root: " in capsys.readouterr().out
