"""What is tried against a share, and what holds: one test for each way we know of."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import factories
from tests.sharing.conftest import CLERK, MAIL, OTHER, PHONE, B, Desk, in_days, report, study
from vna.access.policy import permits
from vna.access.principal import EVERYTHING, Action, Kind, Label, Principal, Scope
from vna.access.sessions import Browser
from vna.crypto import shares
from vna.crypto.credentials import new_secret
from vna.delivery.notifier import Cause
from vna.delivery.sending import HELD_S
from vna.dicom.refs import InstanceRef, SeriesRef, StudyRef, uid
from vna.dicom.refs import Level as QueryLevel
from vna.errors import (
    Conflict,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    TooLarge,
    TooMany,
    VNAError,
)
from vna.query.keys import from_parameters
from vna.sharing.keys import ShareKeys
from vna.sharing.values import (
    Confirmed,
    Guest,
    Level,
    Person,
    Protection,
    Reason,
    Refused,
    Wrong,
    channel,
)

PASSCODE = frozenset({Protection.PASSCODE})


def series(made: factories.Instance) -> SeriesRef:
    return SeriesRef(uid(made.study), uid(made.series))


def instance(made: factories.Instance) -> InstanceRef:
    return InstanceRef(uid(made.study), uid(made.series), uid(made.instance))


# ---- guessing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["", "x", "A" * 43, "é" * 50, "\0", "\ud800", "a" * 10_000])
def test_a_link_nobody_made_is_unknown(desk: Desk, secret: str) -> None:
    desk.offer()
    assert desk.engine.open(secret, B) == Refused(reason=Reason.UNKNOWN)


def test_one_changed_letter_is_another_link(desk: Desk) -> None:
    desk.offer()
    secret = desk.archive.posted.secret()
    changed = ("B" if secret[5] == "A" else "A").join((secret[:5], secret[6:]))
    assert desk.engine.open(changed, B) == Refused(reason=Reason.UNKNOWN)
    assert isinstance(desk.engine.open(secret, B), tuple)


def test_an_address_that_keeps_guessing_links_is_told_to_wait(desk: Desk) -> None:
    for _ in range(60):
        assert isinstance(desk.engine.open(new_secret(), B), Refused)
    with pytest.raises(TooMany):
        desk.engine.open(new_secret(), B)
    desk.offer()
    elsewhere = Browser(address="203.0.113.9")
    assert isinstance(desk.engine.open(desk.archive.posted.secret(), elsewhere), tuple)


def test_all_addresses_of_an_ipv6_network_guess_links_together(desk: Desk) -> None:
    for number in range(60):
        there = Browser(address=f"2001:db8:0:1::{number:x}")
        assert isinstance(desk.engine.open(new_secret(), there), Refused)
    with pytest.raises(TooMany):
        desk.engine.open(new_secret(), Browser(address="2001:db8:0:1:ffff::1"))


def test_opening_again_and_again_counts_for_nothing(desk: Desk) -> None:
    """A scanner that follows the link and even presses the button shuts nobody out."""
    desk.offer(max_opens=1)
    for _ in range(70):
        desk.opened()
    _, guest = desk.proven()
    assert guest.is_proven


def test_passcodes_guessed_at_once_count_as_if_one_after_the_other(desk: Desk) -> None:
    offered = desk.offer(proof=PASSCODE, by=None)
    sessions = [desk.opened()[0] for _ in range(6)]
    start = threading.Barrier(6)
    answers: list[object] = []

    def guess(number: int) -> None:
        start.wait()
        for turn in range(8):
            try:
                typed = f"AAAA-AAAA-{number}{turn}"
                answers.append(desk.engine.prove(sessions[number], Protection.PASSCODE, typed))
            except (NotAuthenticated, TooMany) as exc:
                answers.append(type(exc))

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(guess, number) for number in range(6)]:
            done.result()
    tried = [answer for answer in answers if isinstance(answer, Wrong)]
    assert len(tried) <= 20
    assert not any(isinstance(answer, Guest) for answer in answers)
    state = desk.rows("SELECT state, wrong FROM share_grant")
    assert state == [("locked", 20)]
    assert offered.passcode is not None
    refused = desk.engine.open(desk.archive.posted.secret(), B)
    assert refused == Refused(reason=Reason.LOCKED, number=offered.number)
    with pytest.raises(NotAuthenticated):
        desk.engine.prove(sessions[0], Protection.PASSCODE, offered.passcode)


def test_who_leaves_before_the_answer_has_guessed_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = desk.offer(to=None, by=None, proof=frozenset({Protection.PASSCODE}), notify=MAIL)
    assert offered.secret is not None
    asked = ShareKeys.stretch
    sessions: list[str] = []

    def left(self: ShareKeys, typed: str, salt: bytes, said: str) -> bytes:
        desk.engine.leave(sessions[-1])
        return asked(self, typed, salt, said)

    monkeypatch.setattr(ShareKeys, "stretch", left)
    for _ in range(20):
        sessions.append(desk.opened(offered.secret)[0])
        found = desk.engine.prove(sessions[-1], Protection.PASSCODE, "AAAA-AAAA-AA")
        assert isinstance(found, Wrong)
    assert found.left == 0
    told = "SELECT kind FROM audit WHERE detail ->> 'share' = %s"
    kinds = [row[0] for row in desk.rows(told, str(offered.share_id))]
    assert (kinds.count("grant.factor"), kinds.count("grant.locked")) == (20, 1)
    assert desk.archive.posted.messages[-1].template == "locked"
    answer = desk.engine.open(offered.secret, B)
    assert answer == Refused(reason=Reason.LOCKED, number=offered.number)


def test_wrong_secrets_of_all_sorts_count_for_life_and_the_owner_unlocks(desk: Desk) -> None:
    both = PASSCODE | {Protection.SMS}
    offered = desk.offer(proof=both, notify=OTHER)
    session, _ = desk.opened()
    assert offered.passcode is not None
    for left in range(19, 9, -1):
        answer = desk.engine.prove(session, Protection.PASSCODE, "0000")
        assert answer == Wrong(left)
    assert isinstance(desk.engine.prove(session, Protection.PASSCODE, offered.passcode), Guest)
    for left in range(9, -1, -1):
        if left in (9, 4):
            desk.codes_age(5)
            desk.engine.send_code(session, Protection.SMS)
        wrong = f"{(int(desk.archive.posted.code()) + 1) % 10**8:08}"
        assert desk.engine.prove(session, Protection.SMS, wrong) == Wrong(left)
    assert desk.engine.resume(session) is None
    assert desk.archive.posted.last("locked", OTHER).values == {"number": offered.number}
    old = desk.archive.posted.secret()
    renewed = desk.engine.unlock(CLERK, offered.grant_id)
    assert desk.engine.open(old, B) == Refused(reason=Reason.UNKNOWN)
    session, _ = desk.opened()
    assert renewed.passcode != offered.passcode
    assert renewed.passcode is not None
    assert isinstance(desk.engine.prove(session, Protection.PASSCODE, renewed.passcode), Guest)


def test_the_letters_that_find_a_print_out_do_not_open_it(desk: Desk) -> None:
    offered = desk.offer(to=None, printed=True)
    assert offered.printed_code is not None
    head = offered.printed_code[:4]
    for turn in range(19):
        with_other_letters = f"{head}-0000-0000-00{turn:02}"
        browser = Browser(address=f"203.0.113.{turn}")
        found = desk.engine.open_printed(with_other_letters, browser)
        assert found == Refused(reason=Reason.UNKNOWN)
    assert isinstance(desk.engine.open_printed(offered.printed_code, B), tuple)
    desk.engine.open_printed(f"{head}-0000-0000-0099", B)
    locked = desk.engine.open_printed(offered.printed_code, B)
    assert locked == Refused(reason=Reason.LOCKED, number=offered.number)
    assert desk.engine.open_printed("ZZZZ", B) == Refused(reason=Reason.UNKNOWN)


def test_what_is_unknown_costs_the_same_work(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: hashes and unwraps are what takes time."""
    work: list[str] = []

    def counting(name: str) -> None:
        real = getattr(shares, name)

        def counted(*args: object) -> bytes:
            work.append(name)
            return bytes(real(*args))

        monkeypatch.setattr(shares, name, counted)

    offered = desk.offer(to=None, printed=True)
    assert offered.printed_code is not None
    assert offered.secret is not None
    counting("stretch")
    counting("unwrap")
    done = []
    for code in ("ZZZZ-0000-0000-0000", offered.printed_code[:4] + "-0000-0000-0000"):
        work.clear()
        assert desk.engine.open_printed(code, B) == Refused(reason=Reason.UNKNOWN)
        done.append(list(work))
    assert done == [["stretch", "unwrap"]] * 2
    for secret in (new_secret(), offered.secret):
        work.clear()
        desk.engine.open(secret, B)
        assert work == ["unwrap"]


# ---- the wrong person --------------------------------------------------------------------------


def test_not_me_stops_the_grant_and_what_came_of_it_and_shows_nothing(desk: Desk) -> None:
    offered = desk.offer(notify=OTHER)
    session, guest = desk.opened()
    assert guest.share.person is None
    assert guest.share.recipient is None
    assert guest.share.studies == ()
    assert desk.engine.not_me(session) == offered.number
    assert desk.engine.resume(session) is None
    answer = desk.engine.open(desk.archive.posted.secret(), B)
    assert answer == Refused(reason=Reason.REFUSED, number=offered.number)
    assert desk.archive.posted.last("not-me", OTHER).values == {"number": offered.number}
    with pytest.raises(Conflict):
        desk.engine.renew(CLERK, offered.grant_id)


@pytest.mark.parametrize(
    ("to", "by", "way"),
    [
        (("email", "kim@example.org"), ("email", "Kim+x@Example.org"), Protection.EMAIL),
        (("email", "k.i.m@example.org"), ("email", "kim@example.org"), Protection.EMAIL),
        (("sms", "+44 20 7946 0018"), ("sms", "+442079460018"), Protection.SMS),
    ],
)
def test_link_and_code_never_end_up_in_one_mailbox(
    desk: Desk, to: tuple[str, str], by: tuple[str, str], way: Protection
) -> None:
    with pytest.raises(InvalidRequest, match="same mailbox"):
        desk.offer(to=channel(*to), by=channel(*by), proof=frozenset({way}))


@pytest.mark.parametrize(
    "changed",
    [
        {"proof": frozenset()},
        {"proof": frozenset({Protection.SMS, Protection.EMAIL})},
        {"by": None},
        {"by": OTHER},
        {"proof": PASSCODE},
        {"to": None},
        {"until": in_days(-1)},
        {"until": in_days(400)},
        {"legal_basis": None},
        {"legal_basis": "because"},
        {"person": Person(name="X", confirmed=frozenset({Confirmed.NAME}))},
        {"studies": frozenset()},
        {"max_opens": 0},
        {"language": "English"},
    ],
)
def test_an_offer_that_protects_nothing_or_says_too_little_is_refused(
    desk: Desk, changed: dict[str, object]
) -> None:
    before = list(desk.archive.store.ids("j/"))
    with pytest.raises(InvalidRequest):
        desk.offer(**changed)
    assert desk.rows("SELECT 1 FROM share") == []
    assert list(desk.archive.store.ids("j/")) == before


def test_two_persons_are_never_in_one_share(desk: Desk) -> None:
    other = factories.ct(9, 1, 1, patient_id="SOMEBODY-ELSE")
    desk.archive.take(other.part10())
    with pytest.raises(Conflict, match="one patient"):
        desk.offer(studies=frozenset({study(desk.made[0]), study(other)}))


# ---- reaching further --------------------------------------------------------------------------


def test_a_guest_reaches_nothing_but_the_share_and_cannot_do_more_than_look(desk: Desk) -> None:
    desk.offer(studies=frozenset(), series=frozenset({series(desk.made[0])}))
    _, guest = desk.proven()
    who = guest.principal
    assert who.actions == {Action.QUERY, Action.RETRIEVE}
    assert permits(who, Action.RETRIEVE, series(desk.made[0]))
    for foreign in (series(desk.made[2]), instance(desk.made[3]), study(desk.made[4])):
        with pytest.raises(NotFound):
            list(desk.archive.retrieve.instances(who, foreign))
    with pytest.raises(NotPermitted):
        desk.archive.retrieve.instances(who, study(desk.made[0]))  # a part, asked for as a whole
    with pytest.raises(NotPermitted):
        desk.archive.lifecycle.delete(who, series(desk.made[0]))


@pytest.mark.parametrize(
    "asked", [{}, {"PatientID": "*"}, {"PatientName": "*"}, {"StudyInstanceUID": "2.25.4711.2"}]
)
def test_no_search_widens_what_is_seen(desk: Desk, asked: dict[str, str]) -> None:
    desk.offer(studies=frozenset(), series=frozenset({series(desk.made[0])}))
    _, guest = desk.proven()
    query = from_parameters(QueryLevel.IMAGE, list(asked.items()), most=50).query
    found = desk.archive.query.find(guest.principal, query).rows
    assert {str(row.instance) for row in found} <= {one.instance for one in desk.made[:2]}
    assert all(row.study == desk.made[0].study for row in found)


def test_what_comes_later_is_not_shown_and_the_study_is_a_part_then(own_desk: Desk) -> None:
    desk = own_desk
    desk.offer()
    session, guest = desk.proven()
    assert guest.principal.scope.covers(study(desk.made[0]))
    later = factories.ct(1, 1, 3)
    desk.archive.take(later.part10())
    desk.a_second_later()
    again = desk.engine.resume(session)
    assert again is not None
    scope = again.principal.scope
    assert not scope.touches(instance(later))
    assert not scope.covers(study(desk.made[0]))
    assert all(scope.covers(instance(one)) for one in desk.made[:4])
    assert scope.covers(series(desk.made[2]))


def test_reports_come_later_where_they_may(own_desk: Desk) -> None:
    desk = own_desk
    with_reports = desk.offer()
    first, _ = desk.proven()
    desk.offer(reports=False)
    second, _ = desk.proven()
    written = report(1, 3, 1)
    desk.archive.take(written.part10())
    desk.a_second_later()
    seen, unseen = desk.engine.resume(first), desk.engine.resume(second)
    assert seen is not None
    assert unseen is not None
    assert seen.principal.scope.covers(study(desk.made[0]))
    assert not unseen.principal.scope.touches(instance(written))
    preview = desk.engine.test(CLERK, with_reports.share_id)
    assert [(one.images, one.reports) for one in preview.studies] == [(4, 1)]


def test_documents_alone_are_not_shared_by_mistake(desk: Desk) -> None:
    written = report(5, 1, 1)
    desk.archive.take(written.part10())
    alone = {"studies": frozenset({study(written)})}
    with pytest.raises(InvalidRequest, match="no images"):
        desk.offer(**alone)
    with pytest.raises(InvalidRequest, match="without reports"):
        desk.offer(**alone, reports=False)
    desk.offer(**alone, without_images=True)


# ---- who may share -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "who",
    [
        Principal(kind=Kind.PERSON, name="nobody", actions=frozenset(), scope=EVERYTHING),
        Principal(
            kind=Kind.PERSON,
            name="reader",
            actions=frozenset(Action) - {Action.SHARE},
            scope=EVERYTHING,
        ),
    ],
)
def test_sharing_asks_for_its_action_everywhere(desk: Desk, who: Principal) -> None:
    offered = desk.offer()
    engine = desk.engine
    for act in (
        lambda: engine.offer(who, desk.offer_of()),
        lambda: engine.shares(who),
        lambda: engine.detail(who, offered.share_id),
        lambda: engine.revoke(who, offered.share_id, reason="no"),
        lambda: engine.renew(who, offered.grant_id),
        lambda: engine.unlock(who, offered.grant_id),
        lambda: engine.extend(who, offered.share_id, in_days(9)),
        lambda: engine.test(who, offered.share_id),
        lambda: engine.suspend_study(who, study(desk.made[0]), "no"),
        lambda: engine.reinstate(who, offered.share_id),
        lambda: engine.consents.withdraw(who, 1),
        lambda: engine.consents.of_person(who, "LOCAL", "1"),
    ):
        with pytest.raises(NotPermitted):
            act()
    desk.opened()


def test_a_share_outside_one_s_reach_is_unknown(desk: Desk) -> None:
    offered = desk.offer()
    elsewhere = Principal(
        kind=Kind.PERSON,
        name="other ward",
        actions=frozenset({Action.SHARE}),
        scope=Scope(studies=frozenset({uid(desk.made[4].study)})),
    )
    for act in (
        lambda: desk.engine.offer(elsewhere, desk.offer_of()),
        lambda: desk.engine.detail(elsewhere, offered.share_id),
        lambda: desk.engine.revoke(elsewhere, offered.share_id, reason="no"),
        lambda: desk.engine.renew(elsewhere, offered.grant_id),
    ):
        with pytest.raises(NotFound):
            act()
    assert desk.engine.shares(elsewhere) == []


def test_more_than_a_share_holds_is_refused_before_it_is_read(own_desk: Desk) -> None:
    desk = own_desk
    settings = desk.archive.settings.sharing
    object.__setattr__(settings, "most_items", 3)
    with pytest.raises(TooLarge):
        desk.offer()
    desk.offer(studies=frozenset(), series=frozenset({series(desk.made[0])}))


# ---- giving on ---------------------------------------------------------------------------------


def test_a_child_never_has_more_than_its_parent(desk: Desk) -> None:
    desk.offer(forward=True, download=False, reports=False, until=in_days(10))
    session, _ = desk.proven()
    plain = {"download": False, "reports": False}
    for changed, error in (
        ({**plain, "until": in_days(11)}, InvalidRequest),
        ({**plain, "download": True}, NotPermitted),
        ({**plain, "reports": True}, NotPermitted),
        ({**plain, "studies": frozenset({study(desk.made[4])})}, NotFound),
        ({**plain, "proof": frozenset()}, InvalidRequest),
        ({**plain, "to": None}, InvalidRequest),
    ):
        with pytest.raises(error):
            desk.engine.forward(session, desk.forward_of(**changed))
    part = frozenset({series(desk.made[2])})
    desk.engine.forward(session, desk.forward_of(**plain, series=part, forward=True))
    child, guest = desk.proven()
    scope = guest.principal.scope
    assert (scope.studies, scope.series) == (frozenset(), part)
    assert not scope.touches(instance(desk.made[0]))
    foreign = frozenset({series(desk.made[0])})
    wider = desk.forward_of(**plain, series=foreign, until=in_days(2))
    with pytest.raises(NotFound):
        desk.engine.forward(child, wider)


def test_a_share_that_may_not_be_given_on_is_not(desk: Desk) -> None:
    desk.offer(forward=False)
    session, _ = desk.proven()
    with pytest.raises(NotPermitted):
        desk.engine.forward(session, desk.forward_of())
    opened, _ = desk.opened()
    with pytest.raises(NotAuthenticated):
        desk.engine.forward(opened, desk.forward_of())


def test_what_was_given_on_ends_with_what_it_came_from(desk: Desk) -> None:
    offered = desk.offer(forward=True)
    parent, _ = desk.proven()
    desk.engine.forward(parent, desk.forward_of(forward=True))
    child, _ = desk.proven()
    other = channel("sms", "+44 20 7946 0077")
    grandchild_of = desk.forward_of(to=other, until=in_days(4))
    desk.engine.forward(child, grandchild_of)
    grandchild, _ = desk.proven()
    assert desk.engine.revoke(CLERK, offered.share_id, grant_id=offered.grant_id, reason="x") == 3
    desk.a_second_later()
    for session in (parent, child, grandchild):
        assert desk.engine.resume(session) is None
    states = {one.state.value for one in desk.engine.detail(CLERK, offered.share_id).grants}
    assert states == {"revoked"}
    assert len(desk.archive.posted.cancelled) >= 3


def test_a_child_is_out_the_moment_its_parent_s_time_is_over(desk: Desk) -> None:
    desk.offer(forward=True)
    parent, _ = desk.proven()
    child_of = desk.engine.forward(parent, desk.forward_of())
    child, _ = desk.proven()
    desk.run(
        "UPDATE share_grant SET created_at = now() - interval '2 days', "
        "ends_at = now() - interval '1 second' WHERE parent_id IS NULL"
    )
    desk.a_second_later()
    assert desk.engine.resume(child) is None
    answer = desk.engine.open(desk.archive.posted.secret(), B)
    assert answer == Refused(reason=Reason.EXPIRED, number=child_of.number)


def test_giving_on_has_an_end_and_can_be_taken_back(desk: Desk) -> None:
    desk.offer(forward=True)
    first, _ = desk.proven()
    session = first
    for number in range(3):
        to = channel("sms", f"+44 20 7946 010{number}")
        until = in_days(5 - number)
        desk.engine.forward(session, desk.forward_of(forward=True, to=to, until=until))
        session, _ = desk.proven()
        desk.run("DELETE FROM one_time_code")  # or the mailbox had too many codes
    with pytest.raises(NotPermitted, match="often enough"):
        desk.engine.forward(session, desk.forward_of(until=in_days(1)))
    (child,) = desk.engine.forwarded(first)
    with pytest.raises(NotFound):
        desk.engine.take_back(session, child.grant_id)
    assert desk.engine.take_back(first, child.grant_id) == 3
    desk.a_second_later()
    assert desk.engine.resume(session) is None
    assert desk.engine.resume(first) is not None


# ---- going on after the end --------------------------------------------------------------------


def test_a_session_that_was_revoked_is_believed_for_half_a_second_at_most(desk: Desk) -> None:
    offered = desk.offer()
    session, _ = desk.proven()
    assert desk.engine.resume(session) is not None
    desk.engine.revoke(CLERK, offered.share_id, reason="recalled")
    deadline = threading.Event()
    for _ in range(20):  # a second in all
        if desk.engine.resume(session) is None:
            break
        deadline.wait(0.05)
    assert desk.engine.resume(session) is None


def test_before_everything_is_proven_nothing_is_believed_twice(desk: Desk) -> None:
    """Another process may have let the guest in meanwhile."""
    desk.offer()
    session, guest = desk.opened()
    assert guest.level is Level.OPENED
    desk.run("UPDATE share_session SET level = 1, proven = '{sms}'")
    again = desk.engine.resume(session)
    assert again is not None
    assert again.is_proven


def test_a_share_ends_for_idle_old_and_used_up_sessions(desk: Desk) -> None:
    offered = desk.offer(max_opens=1)
    session, _ = desk.proven()
    capability = desk.engine.capability(session)
    answer = desk.engine.open(desk.archive.posted.secret(), B)
    assert answer == Refused(reason=Reason.EXHAUSTED, number=offered.number)
    desk.a_second_later()
    assert desk.engine.resume(session) is not None  # who is in may go on
    desk.run("UPDATE share_session SET seen_at = now() - interval '31 minutes'")
    desk.a_second_later()
    assert desk.engine.resume(session) is None
    assert desk.engine.by_capability(capability) is None
    desk.engine.sweep()
    assert desk.rows("SELECT 1 FROM share_session") == []


def test_a_path_is_nobody_s_before_all_is_proven_and_goes_with_its_session(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.opened()
    with pytest.raises(NotAuthenticated):
        desk.engine.capability(session)
    session, guest = desk.proven()
    path = desk.engine.capability(session)
    who = desk.engine.by_capability(path)
    assert who is not None
    assert who.scope == guest.principal.scope
    assert desk.engine.by_capability(session) is None
    assert desk.engine.resume(path) is None
    desk.engine.leave(session)
    desk.a_second_later()
    assert desk.engine.by_capability(path) is None
    assert desk.engine.resume(session) is None


def test_the_wrong_patient_s_study_is_out_of_all_shares_until_somebody_says_otherwise(
    desk: Desk,
) -> None:
    offered = desk.offer()
    session, _ = desk.proven()
    assert desk.engine.suspend_study(CLERK, StudyRef(uid(desk.made[0].study)), "mix-up") == [
        offered.number
    ]
    desk.a_second_later()
    assert desk.engine.resume(session) is None
    answer = desk.engine.open(desk.archive.posted.secret(), B)
    assert answer == Refused(reason=Reason.SUSPENDED, number=offered.number)
    desk.engine.reinstate(CLERK, offered.share_id)
    desk.run("DELETE FROM one_time_code")
    _, guest = desk.proven()
    assert guest.is_proven
    with pytest.raises(Conflict):
        desk.engine.reinstate(CLERK, offered.share_id)


def test_what_a_label_withholds_is_out_of_every_share_and_is_not_shared(own_desk: Desk) -> None:
    desk, ref = own_desk, study(own_desk.made[0])
    desk.offer()
    session, guest = desk.proven()
    assert guest.principal.scope.touches(ref)
    labels = desk.archive.labels
    labels.put(desk.archive.who, ref.study, Label.DISPUTED, reason="whose is it")
    desk.engine._rooms.labels._looked = float("-inf")  # half a second later
    desk.a_second_later()
    withheld = desk.engine.resume(session)
    assert withheld is not None
    assert not withheld.principal.scope.touches(ref)
    with pytest.raises(Conflict, match="withholds"):
        desk.offer()
    labels.take(desk.archive.who, ref.study, Label.DISPUTED)
    desk.engine._rooms.labels._looked = float("-inf")
    desk.a_second_later()
    again = desk.engine.resume(session)
    assert again is not None
    assert again.principal.scope.touches(ref)


def test_ends_do_not_end_twice(desk: Desk) -> None:
    offered = desk.offer()
    other = desk.offer()
    with pytest.raises(NotFound):
        desk.engine.revoke(CLERK, offered.share_id, grant_id=other.grant_id, reason="x")
    with pytest.raises(InvalidRequest):
        desk.engine.revoke(CLERK, offered.share_id, reason=" ")
    desk.engine.revoke(CLERK, offered.share_id, reason="x")
    with pytest.raises(Conflict):
        desk.engine.revoke(CLERK, offered.share_id, reason="x")
    with pytest.raises(Conflict):
        desk.engine.extend(CLERK, offered.share_id, in_days(3))
    with pytest.raises(Conflict):
        desk.engine.renew(CLERK, offered.grant_id)
    with pytest.raises(Conflict):
        desk.engine.test(CLERK, offered.share_id)


@pytest.mark.parametrize("is_revoked", [True, False], ids=["revoked", "not me"])
def test_a_link_that_ended_while_it_was_being_sent_is_not_sent_again(
    desk: Desk, is_revoked: bool
) -> None:
    messages, offered = desk.archive.messages, desk.offer()
    session, _ = desk.opened()
    other = desk.offer()
    ids = dict(desk.rows("SELECT grant_id, message_id FROM message ORDER BY message_id"))
    desk.run("UPDATE message SET state = 'sending', next_at = NULL, attempts = 1")
    if is_revoked:
        desk.engine.revoke(CLERK, offered.share_id, reason="to somebody else")
    else:
        desk.engine.not_me(session)
    for share in (offered, other):  # what was under way failed, or its process did
        messages.attempt(ids[share.grant_id], most_s=1e9)
    states = dict(desk.rows("SELECT grant_id, state FROM message"))
    assert states == {offered.grant_id: "cancelled", other.grant_id: "accepted"}
    assert desk.rows("SELECT sealed FROM message WHERE state = 'cancelled'") == [(None,)]


def test_a_link_of_a_suspended_share_waits_until_it_goes_on(desk: Desk) -> None:
    messages, offered = desk.archive.messages, desk.offer()
    desk.engine.suspend_study(CLERK, study(desk.made[0]), "a question is open")
    message = desk.rows("SELECT message_id FROM message")[0][0]
    desk.run("UPDATE message SET state = 'sending', next_at = NULL, attempts = 1")

    held = messages.attempt(message, most_s=1e9)

    assert (held.is_over, held.cause, held.again_s) == (False, Cause.HELD, HELD_S)
    assert desk.rows("SELECT state, next_at > now() FROM message") == [("queued", True)]
    desk.engine.reinstate(CLERK, offered.share_id)
    messages.attempt(message, most_s=1e9)
    assert desk.rows("SELECT state FROM message") == [("accepted",)]


def test_a_link_held_for_as_long_as_messages_are_tried_is_left_to_a_person(desk: Desk) -> None:
    messages, _ = desk.archive.messages, desk.offer()
    desk.engine.suspend_study(CLERK, study(desk.made[0]), "a question is open")
    message = desk.rows("SELECT message_id FROM message")[0][0]

    given_up = messages.attempt(message, most_s=HELD_S - 1)

    assert (given_up.is_over, given_up.again_s) == (True, None)
    assert desk.rows("SELECT state, sealed IS NOT NULL FROM message") == [("dead", True)]


def test_a_link_that_is_of_no_use_any_more_is_not_held_for_a_suspended_share(desk: Desk) -> None:
    messages, _ = desk.archive.messages, desk.offer()
    desk.engine.suspend_study(CLERK, study(desk.made[0]), "a question is open")
    message = desk.rows("SELECT message_id FROM message")[0][0]
    desk.run("UPDATE message SET until_at = now() - interval '1 s'")

    assert messages.attempt(message, most_s=1e9).cause is Cause.EXPIRED

    assert desk.rows("SELECT state, cause, sealed FROM message") == [("dead", "expired", None)]


def test_a_lost_telephone_is_replaced_and_its_codes_are_dead(desk: Desk) -> None:
    offered = desk.offer()
    session, _ = desk.opened()
    desk.engine.send_code(session, Protection.SMS)
    old_code, old_link = desk.archive.posted.code(), desk.archive.posted.secret()
    new = channel("sms", "+44 20 7946 0055")
    two = frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE})
    with pytest.raises(InvalidRequest):
        desk.engine.renew(CLERK, offered.grant_id, by=OTHER, compared=two)
    for compared in (frozenset(), frozenset({Confirmed.NAME, Confirmed.ACCOUNT})):
        with pytest.raises(InvalidRequest, match="Compare two"):
            desk.engine.renew(CLERK, offered.grant_id, by=new, compared=compared)
    desk.engine.renew(CLERK, offered.grant_id, by=new, compared=two)
    told = desk.archive.posted.last("renewed")
    assert (told.to, told.values["way"]) == (MAIL, "…55")
    with pytest.raises(NotAuthenticated):
        desk.engine.prove(session, Protection.SMS, old_code)
    assert desk.engine.open(old_link, B) == Refused(reason=Reason.UNKNOWN)
    session, _ = desk.opened()
    desk.codes_age(9)
    assert desk.engine.send_code(session, Protection.SMS).masked == "…55"
    assert isinstance(desk.engine.prove(session, Protection.SMS, old_code), Wrong)
    assert desk.archive.posted.last("code").to == new
    assert new != PHONE


def test_every_refusal_is_one_of_ours(desk: Desk) -> None:
    for junk in ("", "x" * 500, "\0", "\ud83d", "⁰¹²³"):
        for act in (
            lambda junk=junk: desk.engine.open_printed(junk, B),
            lambda junk=junk: desk.engine.resume(junk),
            lambda junk=junk: desk.engine.by_capability(junk),
            lambda junk=junk: desk.engine.prove(junk, Protection.SMS, junk),
            lambda junk=junk: desk.engine.prove(junk, Protection.PASSCODE, junk),
            lambda junk=junk: desk.engine.send_code(junk, Protection.SMS),
            lambda junk=junk: desk.engine.leave(junk),
        ):
            try:
                found = act()
            except VNAError:
                continue
            assert found is None or isinstance(found, Refused)
