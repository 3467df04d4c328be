"""Many studies in an index: rows written by SQL, with indexes and statistics as they would be.

One instance a study; ten years of studies, some 8.2 a day of every 30,000.
"""

from __future__ import annotations

import psycopg

_ANSWER = """jsonb_build_object(
    '00100010', jsonb_build_object('vr', 'PN', 'Value', jsonb_build_array(
        jsonb_build_object('Alphabetic', 'Fam' || left(md5((n % 40000)::text), 6) || '^Anna'))),
    '00100020', jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array('F' || n % 40000)),
    '00100030', jsonb_build_object('vr', 'DA', 'Value', jsonb_build_array('19700102')),
    '00080020', jsonb_build_object('vr', 'DA', 'Value', jsonb_build_array(
        to_char('2016-01-01'::date + n % 3650, 'YYYYMMDD'))),
    '00081030', jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array('CT of the chest')),
    '00080050', jsonb_build_object('vr', 'SH', 'Value', jsonb_build_array('A' || n)))::text"""
_FILL = """
SET search_path = vna, public;
INSERT INTO patient (issuer, patient_id)
    SELECT 'LOCAL', 'F' || n FROM generate_series(0, least(STUDIES, 40000) - 1) n;
INSERT INTO modality VALUES ('CT'), ('MR') ON CONFLICT DO NOTHING;
INSERT INTO study (
    study_uid, patient_pk, variant, issuer, patient_id, patient_name, patient_codes, study_date,
    study_time, accession, study_id, referring, description, fold_version, terms, answer)
    SELECT '1.2.' || n, patient_pk, 1, 'LOCAL', patient_id,
           '=fam' || left(md5((n % 40000)::text), 6) || '^anna===',
           ARRAY['0:' || left(md5((n % 40000)::text), 4)],
           '2016-01-01'::date + n % 3650, '10:00', 'A' || n, 'S' || n, '=gray===',
           'CT of the chest', 1, '{}', ANSWER
    FROM generate_series(1, STUDIES) n JOIN patient ON patient_id = 'F' || n % 40000;
INSERT INTO study_state (study_pk, instances, series, modalities)
    SELECT study_pk, 1, 1, ARRAY[CASE WHEN study_pk % 2 = 0 THEN 'CT' ELSE 'MR' END]
    FROM study WHERE study_uid LIKE '1.2.%';
INSERT INTO series (study_pk, series_uid, variant, modality, series_number, fold_version, terms,
                    answer)
    SELECT study_pk, study_uid || '.1', 1, modalities[1], 1, 1, '{}', '{}'
    FROM study JOIN study_state USING (study_pk) WHERE study_uid LIKE '1.2.%';
INSERT INTO series_state (series_pk, instances)
    SELECT series_pk, 1 FROM series WHERE series_uid LIKE '1.2.%';
INSERT INTO instance (
    series_pk, sop_instance_uid, current, created_us, blob_id, digest, key_id, key_version, size,
    study_variant, series_variant, sop_class_uid, transfer_syntax_uid, instance_number, answer)
    SELECT series_pk, series_uid || '.1', true, 1, decode(md5(series_uid), 'hex'), '', '', 1, 1,
           1, 1, '1.2', '1.2', 1, '{}'
    FROM series WHERE series_uid LIKE '1.2.%';
TRUNCATE identity_due;
VACUUM ANALYZE;
"""


def fill(conninfo: str, studies: int) -> None:
    """Write the rows. Whose these are is not looked at, and nothing of theirs can be retrieved."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for part in _FILL.split(";\n"):
            text = part.replace("ANSWER", _ANSWER).replace("STUDIES", str(studies))
            conn.execute(text)  # type: ignore[call-overload]  # text of our own
