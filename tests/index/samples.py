"""Synthetic registrations, and the whole catalogue as plain values for comparisons."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from vna.db.pool import Database
from vna.dicom.attributes import vr_of
from vna.dicom.refs import UID, InstanceRef
from vna.index.register import Registered, Registration, Verdict, register, register_version

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"
RECEIVED = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)

Elements = dict[str, Any]  # DICOM JSON elements: their values differ by VR


def elements(values: Mapping[str, Any]) -> Elements:
    """Make DICOM JSON elements: a str is one value, a list several, an empty list none."""
    found: Elements = {}
    for tag, value in sorted(values.items()):
        vr = vr_of(tag) or "UN"
        listed = value if isinstance(value, list) else [value]
        if vr == "PN":
            listed = [_name(one) for one in listed]
        if vr == "SQ":
            listed = [elements(one) for one in listed]
        found[tag] = {"vr": vr, "Value": listed} if listed else {"vr": vr}
    return found


def _name(value: str) -> dict[str, str]:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), value.split("="), strict=False)
    return {group: text for group, text in groups if text}


def registration(
    number: int,
    study: str,
    series: str,
    instance: str,
    *,
    attributes: Mapping[str, Any] | None = None,
    content: str | None = None,
    **others: Any,  # fields of Registration
) -> Registration:
    """Make one registration. `number` is its place in time, `content` what its digest is of."""
    values: dict[str, Any] = {
        "0020000D": study,
        "0020000E": series,
        "00080018": instance,
        "00080016": CT,
        "00080060": "CT",
        "00100020": f"ID-{study}",
        "00100010": "Doe^Jane",
        **(attributes or {}),
    }
    fields: dict[str, Any] = {
        "ref": InstanceRef(UID(study), UID(series), UID(instance)),
        "sop_class": values["00080016"],
        "transfer_syntax": EXPLICIT,
        "attributes": elements(values),
        "issuer": "LOCAL",
        "blob_id": number.to_bytes(16, "big"),
        "key_id": b"k" * 16,
        "key_version": 1,
        "created_us": 1_000_000 + number,
        "header": bytes(220),
        "payload_len": 1000 + number,
        "digest": hashlib.sha256((content or str(number)).encode()).digest(),
        "size": 2000,
        "checksum": bytes(32),
        "frames": None,
        "frame_count": None,
        "pixel": None,
        "bulk": None,
        "metadata": b"\x01sealed %d" % number,
        "group2": b"group2",
        "preamble": b"",
        "received_at": RECEIVED,
        "proto": "dimse",
    }
    return Registration(**(fields | others))


def store(
    database: Database, items: Sequence[Registration], *, policy: str = "first"
) -> list[Registered]:
    """Register a batch in a transaction of its own, as ingest does."""
    return database.changing(lambda tx: register(tx, items, policy=policy))


def store_all(database: Database, items: Sequence[Registration], *, policy: str = "first") -> None:
    """Register a batch, and what differs as versions."""
    done = store(database, items, policy=policy)
    for item, one in zip(items, done, strict=True):
        if one.verdict is Verdict.DIFFERS:
            with database.transaction() as tx:
                register_version(tx, item, reason="content", policy=policy)


_DUMPS = {
    "patient": "SELECT issuer, patient_id, study_uid FROM patient",
    "study": """
        SELECT s.study_uid, p.issuer, p.patient_id, p.study_uid, s.variant, s.issuer, s.patient_id,
               s.patient_name, s.patient_codes, s.birth_date, s.sex, s.study_date::text,
               s.study_time, s.accession, s.study_id, s.referring, s.referring_codes,
               s.description, s.fold_version, s.terms::text, s.answer, t.instances, t.series,
               t.size, t.modalities, t.sop_classes, t.first_us, t.first_blob
        FROM study s JOIN patient p USING (patient_pk) JOIN study_state t USING (study_pk)""",
    "study_difference": """
        SELECT s.study_uid, p.issuer, p.patient_id, p.study_uid, d.variant, d.study_date::text,
               d.terms::text, d.answer
        FROM study_difference d JOIN study s USING (study_pk)
        JOIN patient p ON p.patient_pk = d.patient_pk""",
    "series": """
        SELECT s.study_uid, e.series_uid, e.variant, e.modality, e.series_number, e.description,
               e.body_part, e.laterality, e.step_date, e.step_time, e.fold_version, e.terms::text,
               e.answer, r.instances, r.size, r.sop_classes, r.first_us, r.first_blob
        FROM series e JOIN study s USING (study_pk) JOIN series_state r USING (series_pk)""",
    "series_difference": """
        SELECT s.study_uid, e.series_uid, d.variant, d.modality, d.terms::text, d.answer
        FROM series_difference d JOIN series e USING (series_pk) JOIN study s USING (study_pk)""",
    "modality": "SELECT modality FROM modality",
    "instance": """
        SELECT s.study_uid, e.series_uid, i.sop_instance_uid, i.current, i.reason, i.created_us,
               i.blob_id, i.digest, i.key_id, i.key_version, i.size, i.study_variant,
               i.series_variant, i.sop_class_uid, i.transfer_syntax_uid, i.instance_number,
               i.content_date, i.content_time, i.image_rows, i.image_columns, i.bits_allocated,
               i.frames, i.flags, i.terms::text, i.answer
        FROM instance i JOIN series e USING (series_pk) JOIN study s USING (study_pk)""",
    "instance_blob": """
        SELECT i.blob_id, b.header, b.payload_len, b.checksum, b.pixel_tag, b.pixel_vr,
               b.pixel_offset, b.pixel_length, b.frame_count, b.frame_table, b.bulk, b.group2,
               b.preamble, b.received_at, b.proto, b.calling_ae, b.called_ae, b.address,
               b.principal, b.charset
        FROM instance_blob b JOIN instance i USING (instance_pk)""",
    "instance_json": """
        SELECT i.blob_id, j.deriver, j.dict_id, j.sealed
        FROM instance_json j JOIN instance i USING (instance_pk)""",
}


def dump(database: Database) -> dict[str, list[str]]:
    """Give every row of the catalogue but surrogate keys, revisions and times of change, sorted."""
    with database.reading() as conn:
        return {
            table: sorted(repr(row) for row in conn.execute(statement).fetchall())  # type: ignore[call-overload]  # text of our own
            for table, statement in _DUMPS.items()
        }
