"""What a search can see: the tables as they would be if nothing but its scope were stored.

A scope comes before the search as common table expressions that bear the names of the tables. The
search itself is the same text with and without one: there is no second way to read.
"""

from __future__ import annotations

from psycopg import sql

from vna.dicom.refs import Within
from vna.index.arrays import Texts
from vna.index.clauses import Clause

_STUDY = """
    study_uid, patient_pk, issuer, patient_id, patient_name, patient_codes, birth_date, sex,
    study_date, study_time, accession, study_id, referring, referring_codes, description, terms,
    answer
"""
_WHOLE_STUDIES = sql.SQL(
    "WITH study AS (SELECT study_pk, {} FROM study WHERE study_uid = ANY (%s)) "
).format(sql.SQL(_STUDY))

# Not materialized: a study or two left out must not cost a walk over all the others.
_ALL_BUT = sql.SQL(
    "WITH study AS NOT MATERIALIZED (SELECT study_pk, {} FROM study WHERE study_uid <> ALL (%s)) "
).format(sql.SQL(_STUDY))

# The attributes shown are those of the first instance in sight, as everywhere; where the study
# shows others, they stand among its differences.
_NARROW = sql.SQL(
    """
WITH seen AS MATERIALIZED (
    SELECT i.instance_pk, i.series_pk, e.study_pk, i.size, i.sop_class_uid, i.created_us,
           i.blob_id, i.study_variant, i.series_variant
    FROM study s JOIN series e USING (study_pk) JOIN instance i USING (series_pk)
    WHERE i.current AND s.study_uid = ANY (%s)
    UNION
    SELECT i.instance_pk, i.series_pk, e.study_pk, i.size, i.sop_class_uid, i.created_us,
           i.blob_id, i.study_variant, i.series_variant
    FROM unnest(%s, %s) AS u (study_uid, series_uid)
    JOIN study s USING (study_uid) JOIN series e USING (study_pk, series_uid)
    JOIN instance i USING (series_pk)
    WHERE i.current
    UNION
    SELECT i.instance_pk, i.series_pk, e.study_pk, i.size, i.sop_class_uid, i.created_us,
           i.blob_id, i.study_variant, i.series_variant
    FROM unnest(%s, %s, %s) AS u (study_uid, series_uid, sop_instance_uid)
    JOIN study s USING (study_uid) JOIN series e USING (study_pk, series_uid)
    JOIN instance i USING (series_pk, sop_instance_uid)
    WHERE i.current
), first_of_series AS (
    SELECT DISTINCT ON (series_pk) series_pk, series_variant AS variant, blob_id AS first_blob
    FROM seen ORDER BY series_pk, created_us, blob_id
), first_of_study AS (
    SELECT DISTINCT ON (study_pk) study_pk, study_variant AS variant, blob_id AS first_blob
    FROM seen ORDER BY study_pk, created_us, blob_id
), instance AS (
    SELECT i.instance_pk, i.series_pk, i.sop_instance_uid, i.current, i.sop_class_uid,
           i.transfer_syntax_uid, i.instance_number, i.content_date, i.content_time, i.image_rows,
           i.image_columns, i.bits_allocated, i.frames, i.terms, i.answer, i.blob_id, i.key_id,
           i.key_version
    FROM instance i JOIN seen USING (instance_pk)
), series AS (
    SELECT series_pk, study_pk, series_uid, modality, series_number, description, body_part,
           laterality, step_date, step_time, terms, answer
    FROM series JOIN first_of_series USING (series_pk, variant)
    UNION ALL
    SELECT series_pk, e.study_pk, e.series_uid, d.modality, d.series_number, d.description,
           d.body_part, d.laterality, d.step_date, d.step_time, d.terms, d.answer
    FROM series_difference d JOIN first_of_series f USING (series_pk, variant)
    JOIN series e USING (series_pk)
    WHERE e.variant <> f.variant
), series_state AS (
    SELECT series_pk, count(*)::integer AS instances, f.first_blob
    FROM seen JOIN first_of_series f USING (series_pk)
    GROUP BY series_pk, f.first_blob
), study_state AS (
    SELECT study_pk, count(*)::integer AS instances,
           count(DISTINCT series_pk)::integer AS series,
           array_agg(DISTINCT sop_class_uid ORDER BY sop_class_uid) AS sop_classes,
           ARRAY(
               SELECT DISTINCT e.modality FROM series e
               WHERE e.study_pk = v.study_pk AND e.modality <> '' ORDER BY e.modality
           ) AS modalities,
           f.first_blob
    FROM seen v JOIN first_of_study f USING (study_pk)
    GROUP BY study_pk, f.first_blob
), study AS (
    SELECT study_pk, {study}
    FROM study JOIN first_of_study USING (study_pk, variant)
    UNION ALL
    SELECT study_pk, s.study_uid, {differing}
    FROM study_difference d JOIN first_of_study f USING (study_pk, variant)
    JOIN study s USING (study_pk)
    WHERE s.variant <> f.variant
)
"""
).format(
    study=sql.SQL(_STUDY),
    differing=sql.SQL(
        """
        d.patient_pk, d.issuer, d.patient_id, d.patient_name, d.patient_codes, d.birth_date, d.sex,
        d.study_date, d.study_time, d.accession, d.study_id, d.referring, d.referring_codes,
        d.description, d.terms, d.answer
        """
    ),
)


def sight(within: Within | None) -> Clause:
    """Compose what stands before a search under this scope; nothing when all can be seen."""
    if within is None:
        return Clause(sql.SQL(""))
    if within.without is not None:
        return Clause(_ALL_BUT, (Texts(sorted(within.without)),))
    studies = Texts(sorted(within.studies))
    if not (within.series or within.instances):
        return Clause(_WHOLE_STUDIES, (studies,))
    series = sorted((ref.study, ref.series) for ref in within.series)
    instances = sorted((ref.study, ref.series, ref.instance) for ref in within.instances)
    values = (
        studies,
        *(Texts(row[n] for row in series) for n in range(2)),
        *(Texts(row[n] for row in instances) for n in range(3)),
    )
    return Clause(_NARROW, values)
