"""What a label withholds is not there by C-FIND, C-GET and C-MOVE, on an open association too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive, open_archive
from tests.dimse import wire
from tests.dimse.asker import STUDY_GET, STUDY_MOVE, associated, identifier, move
from tests.dimse.edge import Edge
from tests.dimse.holding import fill, pairs_of, served
from tests.factories import ct
from vna.access import labels as access_labels
from vna.access.principal import Label, system
from vna.access.remotes import Remote
from vna.db.pool import Database
from vna.dicom.refs import uid
from vna.dimse import find_scp
from vna.dimse.exchange import Exchange
from vna.dimse.messages import Status

Serve = Callable[..., Edge]
OPEN, SECRET = ct(1), ct(2)
KEYS = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": SECRET.study}
WHO = system("test")


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_labels, "LOOK_S", -1.0)


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        fill(archive, OPEN, SECRET)
        archive.remotes.add(WHO, Remote(ae_title="ASKER", host="127.0.0.1", port=104))
        yield archive


@pytest.fixture
def edge(archive: Archive, serve: Serve) -> Edge:
    return served(archive, serve, dev=False, labels=archive.people.labels)


def label(archive: Archive, label: Label) -> None:
    archive.labels.put(WHO, uid(SECRET.study), label, reason="a test")


def test_an_open_association_stops_seeing_what_is_labelled(edge: Edge, archive: Archive) -> None:
    asked = identifier(**{**KEYS, "StudyInstanceUID": ""})
    with associated(edge.port, wire.STUDY_FIND) as (assoc, _):

        def found() -> set[str]:
            answers = [ds for _, ds in assoc.send_c_find(asked, wire.STUDY_FIND)]
            return {ds.StudyInstanceUID for ds in answers if ds is not None}

        assert found() == {OPEN.study, SECRET.study}
        label(archive, Label.SENSITIVE)
        assert found() == {OPEN.study}
        archive.labels.take(WHO, uid(SECRET.study), Label.SENSITIVE)
        assert found() == {OPEN.study, SECRET.study}


def test_what_is_labelled_while_a_search_is_answered_is_not_in_it_any_more(
    edge: Edge, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_scp, "_BATCH_BYTES", 0)
    asked = identifier(**{**KEYS, "StudyInstanceUID": ""})
    respond, seen = Exchange.__init__, list[str]()

    def begun(self: Exchange, **given: Any) -> None:
        answer = given["respond"]

        def once(status: Status, data: bytes | None) -> int:
            if data is not None and not seen:  # the first answer: the other one is labelled now
                first = OPEN if OPEN.study.encode() in data else SECRET
                seen.append(first.study)
                other = SECRET if first is OPEN else OPEN
                archive.labels.put(WHO, uid(other.study), Label.SENSITIVE, reason="a test")
            return int(answer(status, data))

        respond(self, **{**given, "respond": once})

    monkeypatch.setattr(Exchange, "__init__", begun)
    with associated(edge.port, wire.STUDY_FIND) as (assoc, _):
        answers = [ds for _, ds in assoc.send_c_find(asked, wire.STUDY_FIND)]
    assert [ds.StudyInstanceUID for ds in answers if ds is not None] == seen


def test_nothing_of_a_withheld_study_is_sent(edge: Edge, archive: Archive) -> None:
    with associated(edge.port, STUDY_GET, pairs_of([SECRET])) as (assoc, got):
        label(archive, Label.SENSITIVE)
        answers = list(assoc.send_c_get(identifier(**KEYS), STUDY_GET))
        assert (int(answers[-1][0].Status), got.objects) == (0, {})
    moved = move(edge.port, "ASKER", model=STUDY_MOVE, keys=KEYS)
    assert moved.status == 0
    assert not any(moved.counts)


def test_which_labels_aes_are_cleared_for_is_a_setting(edge: Edge, archive: Archive) -> None:
    label(archive, Label.DISPUTED)
    with associated(edge.port, STUDY_GET, pairs_of([SECRET])) as (assoc, got):
        list(assoc.send_c_get(identifier(**KEYS), STUDY_GET))
        assert set(got.objects) == {SECRET.instance}
