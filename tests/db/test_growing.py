"""What only ever grows: each statement finds its rows however many others there are.

20,000 of each and more: PostgreSQL has no reason to read a whole table but the statement itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TestPostgres
from tests.db.filling import filled
from vna.db import statements
from vna.db.pool import Database

_FILL = """
SET search_path = vna, public;
INSERT INTO audit (at, kind, outcome, principal, actor_kind)
    SELECT now() - interval '1 year', CASE WHEN n % 5 < 2 THEN 'instance.stored' ELSE 'read' END,
           CASE WHEN n % 5 < 2 THEN 'stored' ELSE 'done' END, 'x', 'ae'
    FROM generate_series(1, 200000) n;
INSERT INTO change SELECT row_number() OVER (), id FROM audit WHERE kind = 'instance.stored';
UPDATE feed SET settled_id = (SELECT max(id) FROM audit);
INSERT INTO patient (issuer, patient_id) SELECT 'LOCAL', 'P' || n FROM generate_series(1, 20000) n;
INSERT INTO study (study_uid, patient_pk, variant, issuer, patient_id, fold_version, terms, answer)
    SELECT '1.2.' || patient_pk, patient_pk, 1, issuer, patient_id, 1, '{}', '{}' FROM patient;
INSERT INTO patient (issuer, patient_id) VALUES ('LOCAL', 'nobody');
INSERT INTO study_difference (study_pk, variant, patient_pk, fold_version, terms, answer)
    SELECT study_pk, 2, patient_pk, 1, '{}', '{}' FROM study;
INSERT INTO deletion (deletion_id, deleted_at, due_at, actor, study_uid, purging_at, purged_at)
    SELECT decode(md5('d' || n), 'hex'), now(), now(), 'x', '9.' || n, now(), now()
    FROM generate_series(1, 20000) n;
INSERT INTO deleted_instance
    SELECT deletion_id, deletion_id, deletion_id, 1, study_uid, study_uid || '.1',
           study_uid || '.1.1' FROM deletion;
INSERT INTO account (login, kind, roles, handle)
    SELECT 'p' || n, 'person', ARRAY['patient'], sha256(n::text::bytea)
    FROM generate_series(1, 20000) n;
INSERT INTO identity (identity_id, issuer, patient_id, variant, person_id, name, folded, family,
                      sex, source)
    SELECT decode(md5('i' || n), 'hex'), 'LOCAL', 'P' || n, 0, decode(md5('i' || n), 'hex'), '',
           '', '', '', 'dicom'
    FROM generate_series(1, 20000) n;
INSERT INTO study_identity
    SELECT '1.2.' || n, decode(md5('i' || n), 'hex') FROM generate_series(1, 20000) n;
INSERT INTO person_account (account_id, identity_id, proof, asked_by, confirmed_at, confirmed_by)
    SELECT account_id, decode(md5('i' || substr(login, 2)), 'hex'), 'desk', 'x', now(), 'x'
    FROM account WHERE login ~ '^p[0-9]+$';
INSERT INTO contact_channel (channel_id, kind, sealed, value_mac, masked)
    SELECT n, 'email', '', sha256(n::text::bytea), '' FROM generate_series(1, 20000) n;
INSERT INTO own_contact (account_id, kind, channel_id, proven_at)
    SELECT account_id, 'email', 1 + account_id % 20000, now()
    FROM account WHERE login ~ '^p[0-9]+$';
INSERT INTO identity_act (act, at, actor, op, first, reason)
    SELECT decode(md5('a' || n), 'hex'), now(), 'x', 'identity-bound', decode(md5('i' || n), 'hex'),
           'account p' || n
    FROM generate_series(1, 20000) n;
INSERT INTO carer (carer_id, account_id, login, identity_id, relation, given_as, evidence, may_view,
                   may_share, called, zone, given_at, given_by, ends_at)
    SELECT n, account_id, login, decode(md5('i' || n), 'hex'), 'trusted', 'patient', '{}', true,
           true, '', 'UTC', now() - interval '2 years', 'p' || n, now() - interval '1 year'
    FROM generate_series(1, 20000) n JOIN account ON login = 'p' || n;
INSERT INTO consent (consent_id, issuer, patient_id, purpose, allowed, text_version, signature, way,
                     recorded_by, valid_from)
    SELECT n, 'LOCAL', 'P' || n, 'treatment', true, '1', '', 'paper', 'x', now()
    FROM generate_series(1, 20000) n;
INSERT INTO share (share_id, number, owner, purpose, consent_id, legal_basis, issuer, patient_id,
                   person, studies, items_sha256, reports, download, forward, created_at, ends_at,
                   owner_key, language, state)
    SELECT n, lpad((n / 10000)::text, 4, '0') || '-' || lpad((n % 10000)::text, 4, '0'),
           CASE WHEN n % 2 = 0 THEN 'p' || n ELSE 'd' END, 'treatment',
           CASE WHEN n % 2 = 1 THEN n END, 'patient-request', 'LOCAL', 'P' || n, '',
           ARRAY['1.2.' || n], sha256(''), true, true, false, now() - interval '1 year',
           CASE WHEN n % 2000 = 0 THEN now() + interval '9 days'
                ELSE now() - interval '300 days' END, '', 'en', 'sent'
    FROM generate_series(1, 20000) n;
INSERT INTO share_grant (grant_id, share_id, depth, recipient, locator, link_wrap, pepper, stretch,
                         proof, by_channel, language, reports, download, forward, created_at,
                         issued_at, ends_at, state)
    SELECT n, n, 0, '', sha256(n::text::bytea), repeat('a', 40)::bytea, '', '', ARRAY['sms'], n,
           'en', true, true, false, now() - interval '1 year', now() - interval '1 year',
           now() - interval '300 days', 'invited'
    FROM generate_series(1, 20000) n;
INSERT INTO study_label (study_uid, label, until, reason, set_by)
    SELECT '1.2.' || n, 'embargoed', now() - interval '1 year', '', 'x'
    FROM generate_series(1, 20000) n;
INSERT INTO job (kind, remote, requested_by, due_at)
    SELECT 'forward', 'AE' || n % 5, 'x', now() - n * interval '1 second'
    FROM generate_series(1, 20000) n;
INSERT INTO message (token, channel, masked, template, language, state, via, requested_by,
                     created_at, next_at, until_at)
    SELECT decode(md5('m' || n), 'hex'), 'email', '', 'code', 'en', 'accepted', 'smtp', 'x', now(),
           NULL, now()
    FROM generate_series(1, 20000) n;
VACUUM ANALYZE;
"""
_TAB = {
    "share_id": None,
    "before": None,
    "study": None,
    "unopened": 7,
    "expiring": 3,
    "most": 50,
    "withheld": [],
    "seen": None,
}
_IDS = {"ids": [b"i"]}
MOST_READ = 200
_KINDS = {"kinds": ["forward"]}
ASKED: dict[str, tuple[str, Any]] = {
    "is the change feed behind": (
        "operate.feed_behind",
        {"kinds": ["instance.stored"], "outcomes": ["stored"], "most": 1000},
    ),
    "is an identity needed still": ("operate.clear_patients", ([20001],)),
    "what was deleted of a study": (
        "operate.hold_deletions",
        {"study": "9.7", "series": None, "instance": None},
    ),
    "what can be brought back": ("operate.list_deletions", (100,)),
    "the studies of a patient": ("audit.studies_of", {"of": "P7", "issuer": "LOCAL"}),
    "what was decided of a patient": ("patients.list_acts", _IDS),
    "studies after a death": ("patients.list_alerts", (9,)),
    "whom others are shown": ("proposals.is_shown", _IDS),
    "for whom an account acts": ("carers.acts_of", (7, 10)),
    "one who acts for another": ("carers.one_carer", (7,)),
    "what a carer may act on": ("carers.list_carer_reach", (7, 10)),
    "carers who act no more": ("carers.lapsed", (10,)),
    "whose consents a patient gives": (
        "own_shares.identities_in",
        {"studies": ["1.2.7"], "owner": "p7"},
    ),
    "the shares of a patient": (
        "own_shares.list_own",
        {"owner": "p8", "studies": ["1.2.8"], "share_id": None, "before": None, "most": 50},
    ),
    "where a person was reached": (
        "seconds.ways_of_person",
        {"issuer": "LOCAL", "patient_id": "P7", "most": 10},
    ),
    "where a person is written to": ("sharing.proven_of_person", ("LOCAL", "P7")),
    "the shares of a study": ("sharing.list_shares", {**_TAB, "study": "1.2.7", "tab": "all"}),
    "the shares of what somebody sees": (
        "sharing.list_shares",
        {**_TAB, "seen": ["1.2.7"], "tab": "all"},
    ),
    **{
        f"the board: {tab}": ("sharing.list_shares", {**_TAB, "tab": tab})
        for tab in ("today", "waiting", "unopened", "expiring", "locked")
    },
    "was a night told of": ("consents.told_of_night", ("2026-01-01",)),
    "when the next embargo ends": ("restriction.label_revision", ()),
    "the next job": ("jobs.claim_job", {**_KINDS, "node": "x", "lease_s": 60}),
    "when a job is due": ("jobs.next_due", _KINDS),
}


@pytest.fixture(scope="module")
def grown(postgres: TestPostgres) -> Iterator[Database]:
    with filled(postgres, _FILL) as database:
        yield database


@pytest.mark.parametrize("question", ASKED)
def test_nothing_is_read_whole_for_one_of_many(grown: Database, question: str) -> None:
    name, asked = ASKED[question]
    room, _, statement = name.partition(".")
    text = f"EXPLAIN (ANALYZE, FORMAT JSON) {statements.load(room)[statement]}".encode()
    with grown.reading() as conn, conn.transaction(force_rollback=True):
        ((found,),) = conn.execute(text, asked).fetchall()
    assert read_by(found[0]["Plan"]) < MOST_READ, found


def read_by(node: dict[str, Any]) -> float:
    """Count the rows, and pairs of them, that were looked at: those that did not match, too."""
    rows = node.get("Rows Removed by Join Filter", 0) * node["Actual Loops"]
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        removed = (node.get(f"Rows Removed by {by}", 0) for by in ("Filter", "Index Recheck"))
        rows += (node["Actual Rows"] + sum(removed)) * node["Actual Loops"]
    return rows + sum(read_by(below) for below in node.get("Plans", ()))


def test_an_identity_goes_without_a_walk_through_what_differs(grown: Database) -> None:
    """Its foreign keys are looked up, too: once for each identity that goes."""
    with grown.transaction() as tx:
        tx.execute("SET LOCAL enable_seqscan = off")  # asked is whether there is another way
        rows = tx.execute(
            "EXPLAIN SELECT FROM ONLY study_difference x WHERE 7 = patient_pk FOR KEY SHARE OF x"
        ).fetchall()
    assert "study_difference_by_patient" in "\n".join(line for (line,) in rows)


def test_whether_a_study_is_shared_is_planned_once(grown: Database) -> None:
    """It is asked of each row guests read, on connections that plan all they are asked anew."""
    with grown.reading() as conn:
        rows = conn.execute(
            "SELECT l.lanname, 'plan_cache_mode=force_generic_plan' = ANY (p.proconfig)"
            " FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.proname = 'is_shared'"
        ).fetchall()
    assert rows == [("plpgsql", True)]


def test_who_acts_no_more_is_found_by_what_they_shared(grown: Database) -> None:
    """The name a carer shared under ends with the carer's number."""
    with grown.transaction() as tx:
        tx.execute(
            "UPDATE share SET owner = 'p77#for-77', ends_at = now() + interval '1 day'"
            " WHERE share_id = 77"
        )
        tx.execute(
            "UPDATE share SET owner = 'p78#for-77', ends_at = now() + interval '1 day'"
            " WHERE share_id = 78"
        )
        found = tx.execute(statements.load("carers").lapsed, (10,)).fetchall()
        tx.rollback()
    assert found == [("p77#for-77",)]
