-- Indexes of search. The tables are empty or small when this runs on a new archive; each index
-- keeps writers of its table waiting while it is built.

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE INDEX study_by_date ON study (study_date DESC, study_pk DESC);
COMMENT ON INDEX study_by_date IS 'search: the order of studies, pages by keyset, ranges of Study Date';
CREATE INDEX study_by_patient ON study (patient_pk, study_date, study_uid);
COMMENT ON INDEX study_by_patient IS 'search PATIENT: the studies of an identity, the latest of them';
CREATE INDEX study_by_patient_id ON study (patient_id);
COMMENT ON INDEX study_by_patient_id IS 'search: Patient ID, whole or by its beginning';
CREATE INDEX study_by_accession ON study (accession);
COMMENT ON INDEX study_by_accession IS 'search: Accession Number, whole or by its beginning';
CREATE INDEX study_by_study_id ON study (study_id);
COMMENT ON INDEX study_by_study_id IS 'search: Study ID, whole or by its beginning';
CREATE INDEX study_by_name ON study USING gin (patient_name public.gin_trgm_ops);
COMMENT ON INDEX study_by_name IS 'search: Patient Name with wild cards anywhere, in any group';
CREATE INDEX study_by_name_codes ON study USING gin (patient_codes);
COMMENT ON INDEX study_by_name_codes IS 'search: Patient Name by its sound (fuzzy matching)';
CREATE INDEX study_by_referring ON study USING gin (referring public.gin_trgm_ops);
COMMENT ON INDEX study_by_referring IS 'search: Referring Physician Name with wild cards';
CREATE INDEX study_by_description ON study USING gin (description public.gin_trgm_ops);
COMMENT ON INDEX study_by_description IS 'search: Study Description with wild cards anywhere';
CREATE INDEX study_by_terms ON study USING gin (terms jsonb_path_ops);
COMMENT ON INDEX study_by_terms IS 'search: a value of an attribute without a column, of items too';
CREATE INDEX study_state_by_modality ON study_state USING gin (modalities);
COMMENT ON INDEX study_state_by_modality IS
    'search: Modalities in Study, a rare one; it changes only with the first series of a modality';

CREATE INDEX series_in_study
    ON series (study_pk, COALESCE(series_number, 9223372036854775807), series_pk);
COMMENT ON INDEX series_in_study IS 'search: the series of a study in their order';
CREATE INDEX series_by_uid ON series (series_uid);
COMMENT ON INDEX series_by_uid IS 'search: a series whose study was not named';
CREATE INDEX series_by_step_date ON series (step_date) WHERE step_date IS NOT NULL;
COMMENT ON INDEX series_by_step_date IS 'search: Performed Procedure Step Start Date over all studies';
CREATE INDEX series_by_terms ON series USING gin (terms jsonb_path_ops);
COMMENT ON INDEX series_by_terms IS 'search: Request Attributes Sequence and other attributes by value';
