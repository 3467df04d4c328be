"""Who may call: registered AEs with their rights, others only under `--dev`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.archive import Archive, open_archive
from tests.conftest import TestPostgres
from tests.dimse import wire
from tests.dimse.edge import Edge
from tests.factories import CT, EXPLICIT, IMPLICIT, ct
from vna.access.principal import Action, system
from vna.access.remotes import Remote, Remotes
from vna.config import Settings
from vna.db.pool import Database
from vna.dimse.associate import Caller, caller_of
from vna.dimse.negotiate import CONGESTED, UNKNOWN_CALLING
from vna.dimse.scps import services
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import VERIFICATION
from vna.errors import Unavailable

WHO = system("test")
CONTEXTS = [
    (VERIFICATION, [IMPLICIT]),
    (CT, [EXPLICIT]),
    (wire.STUDY_FIND, [EXPLICIT]),
]
STUDIES = bytes.fromhex("08005200") + b"CS\x06\0STUDY " + bytes.fromhex("20000d00") + b"UI\0\0"


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture
def edge(archive: Archive, serve: Callable[..., Edge]) -> Edge:
    engines: Any = SimpleNamespace(ingest=archive.ingest, query=archive.query)
    served = services(engines, archive.settings)
    return serve(served, dev=False, remotes=archive.remotes)


def register(archive: Archive, title: str, **differs: Any) -> None:
    archive.remotes.add(WHO, Remote(ae_title=title, host="127.0.0.1", port=104, **differs))


def calling(edge: Edge, title: str) -> Requestor:
    return Requestor("127.0.0.1", edge.port, calling=title, called="VNA", contexts=CONTEXTS)


def test_an_unknown_caller_is_rejected_for_its_title(edge: Edge) -> None:
    """PS3.8 9.3.4: rejected-permanent, service-user, calling-AE-title-not-recognized."""
    with pytest.raises(Unavailable, match="1/1/3"), calling(edge, "NOBODY"):
        pass


def test_a_registered_caller_is_let_in(edge: Edge, archive: Archive) -> None:
    register(archive, "CT1")
    with calling(edge, "CT1") as remote:
        assert remote.echo() == 0


def test_one_registered_or_removed_meanwhile_needs_no_restart(edge: Edge, archive: Archive) -> None:
    with pytest.raises(Unavailable, match="1/1/3"), calling(edge, "CT1"):
        pass
    register(archive, "CT1")
    with calling(edge, "CT1") as remote:
        assert remote.echo() == 0
    archive.remotes.remove(WHO, "CT1")
    with pytest.raises(Unavailable, match="1/1/3"), calling(edge, "CT1"):
        pass


def test_each_may_do_what_is_written_and_nothing_else(edge: Edge, archive: Archive) -> None:
    """PS3.7 C.5.19: Refused: Not Authorized is 0124H."""
    register(archive, "SENDER", may_find=False, may_move=False)
    register(archive, "ASKER", may_store=False)
    one = ct(1)
    stored = (one.sop_class, one.instance, one.transfer_syntax, [one.dataset()])
    with calling(edge, "SENDER") as remote:
        assert remote.store(*stored).code == 0
        assert list(remote.find(wire.STUDY_FIND, STUDIES, transfer_syntax=EXPLICIT)) == []
        assert remote.status.code == 0x0124
    with calling(edge, "ASKER") as remote:
        assert remote.store(*stored).code == 0x0124
        assert len(list(remote.find(wire.STUDY_FIND, STUDIES, transfer_syntax=EXPLICIT))) == 1


def test_one_has_no_more_associations_than_it_may(edge: Edge, archive: Archive) -> None:
    """PS3.8 9.3.4: rejected-transient, presentation, local-limit-exceeded."""
    register(archive, "CT1", max_associations=1)
    register(archive, "CT2")
    with calling(edge, "CT1"):
        with pytest.raises(Unavailable, match="2/3/2"), calling(edge, "CT1"):
            pass
        with calling(edge, "CT2"), calling(edge, "CT2") as remote:
            assert remote.echo() == 0


def test_under_dev_any_other_one_may_do_all(archive: Archive) -> None:
    register(archive, "CT1", may_find=False)
    caller = caller_of("ANYONE", "127.0.0.1", Settings(dev=True), archive.remotes)
    assert isinstance(caller, Caller)
    assert (caller.remote, caller.principal.actions) == (None, frozenset(Action))
    known = caller_of("CT1", "127.0.0.1", Settings(dev=True), archive.remotes)
    assert isinstance(known, Caller)
    assert known.principal.actions == {Action.STORE, Action.COMMIT, Action.RETRIEVE}


def test_when_nobody_can_be_looked_up_callers_come_again(
    postgres: TestPostgres, archive: Archive
) -> None:
    dsn = postgres.clone()
    postgres.drop(dsn)
    away = Database(dsn, schema="vna")
    remotes = Remotes(away, archive.audit)
    assert caller_of("CT1", "127.0.0.1", Settings(), remotes) == CONGESTED
    assert caller_of("CT1", "127.0.0.1", Settings(), None) == UNKNOWN_CALLING
    away.close()
