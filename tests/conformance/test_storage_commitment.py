"""The Storage Commitment Service, row by row: PS3.18 13 and Annex J, reasons of PS3.3 C.14.1.1."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests import factories
from tests.conftest import TestPostgres
from tests.web.conftest import Site, body_of, parts_of, read_xml, serving
from vna.blobs.layout import blob_name
from vna.dicom.refs import StudyRef, uid
from vna.operate.transactions import CommitmentTransactions
from vna.web.dicomweb.xml import native_model
from vna.web.multipart import multipart_type

JSON = "application/dicom+json"
XML = "application/dicom+xml"
MODEL = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One archive for these tests; each has studies of its own."""
    with serving(postgres, tmp_path_factory.mktemp("archive")) as found:
        yield found


@pytest.fixture(scope="module")
def slow(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An archive that checks nothing before it answers, and takes small requests only."""
    limits = {"ready_bytes": 0, "instances": 5, "body_bytes": 4096}
    with serving(postgres, tmp_path_factory.mktemp("archive"), commitment=limits) as found:
        yield found


def transaction() -> str:
    return f"1.2.3.{next(_numbers)}"


def stored(site: Site, count: int = 1) -> list[factories.Instance]:
    """Store instances of a study of their own."""
    study = next(_numbers)
    made = [factories.ct(study, 1, number + 1) for number in range(count)]
    assert site.store(*(one.part10() for one in made)).status_code == 200
    return made


def sequence(items: list[Any]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": items}


def ui(value: str) -> dict[str, Any]:
    return {"vr": "UI", "Value": [value]}


def reference(sop_class: str, instance: str) -> dict[str, Any]:
    """An item of the SOP Instance Reference Macro."""
    return {"00081150": ui(sop_class), "00081155": ui(instance)}


def by_instance(made: list[factories.Instance]) -> dict[str, Any]:
    return {"00081199": sequence([reference(one.sop_class, one.instance) for one in made])}


def by_study(made: list[factories.Instance]) -> dict[str, Any]:
    """One study, one series, one SOP Class."""
    instances = [{"00081155": ui(one.instance)} for one in made]
    of_class = {"00081150": ui(made[0].sop_class), "0008114A": sequence(instances)}
    series = {"0020000E": ui(made[0].series), "00081112": sequence([of_class])}
    study = {"0020000D": ui(made[0].study), "00081115": sequence([series])}
    return {"00081110": sequence([study])}


def ask(
    site: Site, payload: Any, at: str | None = None, *, accept: str = JSON, kind: str = JSON
) -> httpx.Response:
    """Send a request for commitment."""
    content = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return site.client.post(
        f"{site.root}/commitment-requests/{at or transaction()}",
        content=content,
        headers={"content-type": kind, "accept": accept},
    )


def check(site: Site, at: str, accept: str = JSON) -> httpx.Response:
    return site.get(f"/commitment-requests/{at}", accept)


def instances(data: dict[str, Any], tag: str) -> list[str]:
    """The SOP Instance UIDs of a sequence of references."""
    return [item["00081155"]["Value"][0] for item in data.get(tag, {}).get("Value", [])]


def reasons(data: dict[str, Any]) -> dict[str, int]:
    return {
        item["00081155"]["Value"][0]: item["00081197"]["Value"][0]
        for item in data["00081198"]["Value"]
    }


# ---- 13.4 Request -------------------------------------------------------------------------------


def test_13_4_3_200_tells_what_is_committed(site: Site) -> None:
    made = stored(site, 3)
    answer = ask(site, by_instance(made))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == JSON
    assert instances(answer.json(), "00081199") == [one.instance for one in made]
    assert "00081198" not in answer.json()


def test_13_4_3_200_does_not_mean_that_all_is_committed(site: Site) -> None:
    made = stored(site)
    unknown = factories.ct(next(_numbers))
    answer = ask(site, by_instance([unknown, *made]))
    assert answer.status_code == 200
    assert instances(answer.json(), "00081199") == [made[0].instance]
    assert reasons(answer.json()) == {unknown.instance: 0x0112}


def test_13_4_1_1_the_transaction_uid_is_not_in_the_response(site: Site) -> None:
    assert "00081195" not in ask(site, by_instance(stored(site))).json()


def test_13_4_3_202_has_no_payload_and_says_when_to_come_again(slow: Site) -> None:
    at = transaction()
    answer = ask(slow, by_instance(stored(slow)), at)
    assert answer.status_code == 202
    assert answer.content == b""
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-location"].endswith(f"/commitment-requests/{at}")


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (b"{", "JSON"),
        (b"[1]", "object"),
        ({}, "Referenced SOP Sequence"),
        ({"00081199": sequence([])}, "no instance"),
        ({"00081199": {"vr": "SQ", "Value": ["x"]}}, "(0008,1199)"),
        ({"00081199": {"vr": "SQ", "Value": {"x": 1}}}, "(0008,1199)"),
        ({"00081199": sequence([{"00081150": ui("1.2")}])}, "(0008,1155)"),
        ({"00081199": sequence([{"00081155": ui("1.2")}])}, "(0008,1150)"),
        ({"00081199": sequence([reference("1.2", "x" * 65)])}, "(0008,1155)"),
        ({"00081199": sequence([reference("1.2", "1'; DROP TABLE study; --")])}, "(0008,1155)"),
        ({"00081110": sequence([{"0020000D": ui("1.2")}]), "00081199": sequence([])}, "one of"),
        ({"00081110": sequence([{"0020000D": ui("1.2"), "00081115": 7}])}, "(0008,1115)"),
    ],
)
def test_13_4_3_400_names_what_is_wrong(site: Site, payload: Any, named: str) -> None:
    answer = ask(site, payload)
    assert answer.status_code == 400
    assert named in answer.json()["message"]


def test_13_4_3_400_for_a_transaction_uid_that_is_none(site: Site) -> None:
    assert ask(site, by_instance(stored(site)), "abc").status_code == 400
    assert check(site, "1." * 40).status_code == 400


def test_13_4_3_409_for_a_transaction_uid_in_use(site: Site) -> None:
    at, made = transaction(), stored(site)
    assert ask(site, by_instance(made), at).status_code == 200
    again = ask(site, by_instance(made), at)
    assert again.status_code == 409
    assert "transaction UID" in again.json()["message"]


def test_13_4_3_409_for_all_but_one_of_many_at_once(site: Site) -> None:
    at, made = transaction(), stored(site)
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: statuses.append(ask(site, by_instance(made), at).status_code)
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409, 409, 409, 409, 409]


def test_13_4_3_503_while_the_store_is_away_and_the_uid_is_not_used_up(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    with serving(postgres, tmp_path) as own:
        at, made = transaction(), stored(own)
        blobs = own.archive.settings.data / "blobs"
        blobs.rename(blobs.with_name("unmounted"))
        answer = ask(own, by_instance(made), at)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        blobs.with_name("unmounted").rename(blobs)
        assert ask(own, by_instance(made), at).status_code == 200


def test_8_5_413_for_more_than_one_request_may_have(slow: Site) -> None:
    made = [factories.ct(next(_numbers)) for _ in range(6)]
    assert ask(slow, by_instance(made[:5])).status_code == 200
    assert ask(slow, by_instance(made)).status_code == 413
    answer = ask(slow, b" " * 5000)
    assert answer.status_code == 413


def test_8_5_413_for_a_body_that_does_not_say_its_length(slow: Site) -> None:
    answer = slow.client.post(
        f"{slow.root}/commitment-requests/{transaction()}",
        content=(b" " * 1000 for _ in range(10)),
        headers={"content-type": JSON, "accept": JSON},
    )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/dicom", 'multipart/related; type="text/plain"; boundary=b']
)
def test_8_5_415_for_another_content_type(site: Site, kind: str) -> None:
    assert ask(site, by_instance(stored(site)), kind=kind).status_code == 415


def test_8_5_406_for_a_media_type_it_does_not_have(site: Site) -> None:
    made = stored(site)
    assert ask(site, by_instance(made), accept="application/dicom").status_code == 406


def test_8_5_405_for_another_method(site: Site) -> None:
    answer = site.client.put(f"{site.root}/commitment-requests/1.2.3")
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


def test_8_5_401_for_nobody(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, dev=False) as closed:
        assert ask(closed, by_instance([factories.ct()])).status_code == 401
        assert check(closed, "1.2.3").status_code == 401


# ---- 13.5 Result Check --------------------------------------------------------------------------


def test_13_5_3_202_until_it_is_done_then_200(slow: Site) -> None:
    at, made = transaction(), stored(slow, 2)
    ask(slow, by_instance(made), at)
    waiting = check(slow, at)
    assert (waiting.status_code, waiting.content) == (202, b"")
    assert int(waiting.headers["retry-after"]) >= 1
    while slow.archive.transactions.work():
        pass
    done = check(slow, at)
    assert done.status_code == 200
    assert instances(done.json(), "00081199") == [one.instance for one in made]
    assert check(slow, at).json() == done.json()


def test_13_5_3_200_also_for_what_was_answered_at_once(site: Site) -> None:
    at, made = transaction(), stored(site)
    answer = ask(site, by_instance([*made, factories.ct(next(_numbers))]), at)
    assert check(site, at).json() == answer.json()


def test_13_5_3_404_for_an_unknown_transaction(site: Site) -> None:
    assert check(site, transaction()).status_code == 404


def test_13_5_3_410_when_the_result_is_no_longer_kept(site: Site) -> None:
    at, made = transaction(), stored(site)
    ask(site, by_instance(made), at)
    with site.archive.database.transaction() as tx:
        tx.execute(
            "UPDATE commitment SET finished_at = now() - interval '31 days' "
            "WHERE transaction_uid = %s",
            [at],
        )
    assert site.archive.transactions.expire() == 1
    assert check(site, at).status_code == 410
    assert ask(site, by_instance(made), at).status_code == 409


def test_13_5_3_404_when_the_transaction_itself_is_forgotten(site: Site) -> None:
    at, made = transaction(), stored(site)
    ask(site, by_instance(made), at)
    with site.archive.database.transaction() as tx:
        tx.execute(
            "UPDATE commitment SET finished_at = now() - interval '3 years' "
            "WHERE transaction_uid = %s",
            [at],
        )
    site.archive.transactions.expire()
    with site.archive.database.transaction() as tx:
        tx.execute(
            "UPDATE commitment SET expired_at = now() - interval '2 years' "
            "WHERE transaction_uid = %s",
            [at],
        )
    site.archive.transactions.expire()
    assert check(site, at).status_code == 404


def test_13_5_a_request_survives_the_process_that_took_it(slow: Site) -> None:
    at, made = transaction(), stored(slow, 3)
    ask(slow, by_instance(made), at)
    rooms = slow.archive
    with rooms.database.transaction() as tx:  # a worker that died after the first answer
        tx.execute(
            "UPDATE commitment SET worker = %s, leased_until = now() - interval '1 s', "
            "reasons = '{0}' WHERE transaction_uid = %s",
            [bytes(16), at],
        )
    other = CommitmentTransactions(
        rooms.commitment, database=rooms.database, audit=rooms.audit, settings=rooms.settings
    )
    while other.work():
        pass
    assert instances(check(slow, at).json(), "00081199") == [one.instance for one in made]


def test_13_5_a_request_another_worker_holds_is_left_to_it(slow: Site) -> None:
    at = transaction()
    ask(slow, by_instance(stored(slow)), at)
    while slow.archive.transactions.work():
        pass
    at = transaction()
    ask(slow, by_instance(stored(slow)), at)
    with slow.archive.database.transaction() as tx:
        tx.execute(
            "UPDATE commitment SET worker = %s, leased_until = now() + interval '1 h' "
            "WHERE transaction_uid = %s",
            [bytes(16), at],
        )
    assert not slow.archive.transactions.work()
    assert check(slow, at).status_code == 202


# ---- 13.3 Media types ---------------------------------------------------------------------------


def test_13_xml_is_taken_and_given(site: Site) -> None:
    made = stored(site)
    unknown = factories.ct(next(_numbers))
    payload = native_model(by_instance([*made, unknown]))
    answer = ask(site, payload, kind=XML, accept=XML)
    assert (answer.status_code, answer.headers["content-type"]) == (200, XML)
    found = {
        node.get("keyword"): [value.text for value in node.iter(f"{MODEL}Value")]
        for node in read_xml(answer.content)
    }
    assert found["ReferencedSOPSequence"] == [made[0].sop_class, made[0].instance]
    assert found["FailedSOPSequence"] == [unknown.sop_class, unknown.instance, "274"]


@pytest.mark.parametrize(("media", "write"), [(JSON, orjson.dumps), (XML, native_model)])
def test_13_multipart_is_taken_and_given(site: Site, media: str, write: Any) -> None:
    made = stored(site, 2)
    body = body_of(*(write(by_instance([one])) for one in made), content_type=media)
    answer = ask(
        site,
        body,
        kind=multipart_type(media, "b"),
        accept=f'multipart/related; type="{media}"',
    )
    assert answer.status_code == 200
    ((headers, document),) = parts_of(answer)
    assert headers["content-type"] == media
    for one in made:
        assert one.instance.encode() in document


@pytest.mark.parametrize(
    "document",
    [
        b"<x/>",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><NativeDicomModel>&a;</NativeDicomModel>",
        b"<NativeDicomModel><DicomAttribute tag='00081199' vr='SQ'>",
    ],
)
def test_8_xml_that_is_no_data_set_is_400(site: Site, document: bytes) -> None:
    assert ask(site, document, kind=XML).status_code == 400


def test_13_accept_is_read_before_anything_is_done(site: Site) -> None:
    at, made = transaction(), stored(site)
    assert ask(site, by_instance(made), at, accept="image/png").status_code == 406
    assert ask(site, by_instance(made), at).status_code == 200


# ---- Annex J ------------------------------------------------------------------------------------


def test_j_2_a_request_by_study_is_answered_by_study(site: Site) -> None:
    made = stored(site, 2)
    unknown = factories.ct(1, 1, 99)
    unknown.study, unknown.series = made[0].study, made[0].series
    data = ask(site, by_study([*made, unknown])).json()
    assert set(data) == {"00081110", "0008119B"}
    assert data["00081110"] == by_study(made)["00081110"]
    (study,) = data["0008119B"]["Value"]
    assert study["0020000D"] == ui(made[0].study)
    (series,) = study["00081115"]["Value"]
    assert series["0020000E"] == ui(made[0].series)
    (of_class,) = series["00081112"]["Value"]
    assert of_class["00081150"] == ui(made[0].sop_class)
    (failed,) = of_class["0008114A"]["Value"]
    assert failed["00081155"] == ui(unknown.instance)
    assert failed["00081197"] == {"vr": "US", "Value": [0x0112]}


@pytest.mark.parametrize("write", [by_instance, by_study])
def test_f_2_2_the_tags_of_an_answer_ascend(site: Site, write: Any) -> None:
    made = stored(site)
    unknown = factories.ct(1, 1, 99)
    unknown.study, unknown.series = made[0].study, made[0].series

    def ascending(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs if name not in ("vr", "Value")]
        assert names == sorted(names)
        return dict(pairs)

    answer = ask(site, write([*made, unknown]))
    assert len(json.loads(answer.text, object_pairs_hook=ascending)) == 2


def test_j_1_an_instance_of_another_study_is_not_the_one_asked_for(site: Site) -> None:
    made = stored(site)
    made[0].study = factories.uid(next(_numbers))
    data = ask(site, by_study(made)).json()
    assert set(data) == {"0008119B"}


def test_j_2_sequences_without_items_are_absent(site: Site) -> None:
    unknown = [factories.ct(next(_numbers))]
    assert set(ask(site, by_instance(unknown)).json()) == {"00081198"}
    assert set(ask(site, by_instance(stored(site))).json()) == {"00081199"}


# ---- PS3.3 C.14.1.1 -----------------------------------------------------------------------------


def test_c_14_1_1_0110_for_a_damaged_blob(site: Site) -> None:
    made = stored(site)
    archive = site.archive
    ref = StudyRef(uid(made[0].study))
    blob = archive.retrieve.instances(archive.who, ref)[0].blob_id
    path = archive.settings.data / "blobs" / blob_name(blob)
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    assert reasons(ask(site, by_instance(made)).json()) == {made[0].instance: 0x0110}


def test_c_14_1_1_0112_for_a_deleted_instance(site: Site) -> None:
    made = stored(site)
    site.client.delete(f"{site.root}/studies/{made[0].study}")
    assert reasons(ask(site, by_instance(made)).json()) == {made[0].instance: 0x0112}


def test_c_14_1_1_0119_for_another_sop_class(site: Site) -> None:
    made = stored(site)
    made[0].sop_class = factories.MULTI_FRAME
    assert reasons(ask(site, by_instance(made)).json()) == {made[0].instance: 0x0119}
