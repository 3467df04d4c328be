"""The status tables are whole, and hold what the standard allows."""

from __future__ import annotations

import pytest
from pynetdicom.status import (
    GENERAL_STATUS,
    QR_FIND_SERVICE_CLASS_STATUS,
    QR_GET_SERVICE_CLASS_STATUS,
    QR_MOVE_SERVICE_CLASS_STATUS,
    STORAGE_SERVICE_CLASS_STATUS,
)

from tests.dimse.shelf import STORED, refused
from vna import errors
from vna.dimse import status as table
from vna.dimse.messages import Status
from vna.dimse.status import (
    CAUSES,
    CAUTIONS,
    ERRORS,
    of_find_error,
    of_normalized_error,
    of_outcome,
    of_retrieve_error,
    of_store_error,
)
from vna.ingest.outcome import AlreadyStored, Cause, Caution, Stored

STORE_CODES = STORAGE_SERVICE_CLASS_STATUS.keys() | GENERAL_STATUS.keys()
FIND_CODES = QR_FIND_SERVICE_CLASS_STATUS.keys() | GENERAL_STATUS.keys()


def family(cls: type[errors.VNAError]) -> set[type[errors.VNAError]]:
    return {cls}.union(
        *(family(child) for child in cls.__subclasses__() if child.__module__ == errors.__name__)
    )


def test_every_error_has_its_row() -> None:
    assert family(errors.VNAError) == set(ERRORS)


def test_every_cause_and_caution_has_its_row() -> None:
    assert set(CAUSES) == set(Cause)
    assert set(CAUTIONS) == set(Caution)


def test_every_code_is_one_of_the_service_class() -> None:
    assert {store for store, _ in ERRORS.values()} | set(CAUSES.values()) <= set(STORE_CODES)
    assert set(CAUTIONS.values()) <= set(STORE_CODES)
    assert {find for _, find in ERRORS.values()} <= set(FIND_CODES)


def test_every_code_of_a_retrieval_is_one_of_both_its_services() -> None:
    """PS3.4 Tables C.4-2 and C.4-3."""
    allowed = QR_MOVE_SERVICE_CLASS_STATUS.keys() & QR_GET_SERVICE_CLASS_STATUS.keys()
    codes = {of_retrieve_error(error()).code for error in family(errors.VNAError)}
    assert codes <= allowed | GENERAL_STATUS.keys()


@pytest.mark.parametrize("error", [errors.Unavailable, errors.Contended, errors.CommitUnknown])
def test_what_may_go_well_another_time_is_answered_so_that_it_is_tried_again(
    error: type[errors.VNAError],
) -> None:
    """A sender that is told of its data set gives it up (PS3.4 Tables B.2-1, C.4-1, C.4-2)."""
    assert of_store_error(error()).code == 0xA700
    assert of_find_error(error()).code == 0xA700
    assert of_retrieve_error(error()).code == 0xA701
    assert of_normalized_error(error()).code == 0x0213


@pytest.mark.parametrize("error", [errors.NotPermitted, errors.NotAuthenticated])
def test_who_may_not_do_it_is_told_so_by_every_service(error: type[errors.VNAError]) -> None:
    answered = (of_store_error, of_find_error, of_retrieve_error, of_normalized_error)
    assert {said(error()).code for said in answered} == {0x0124}


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (Cause.OUT_OF_RESOURCES, 0xA700),
        (Cause.TOO_LARGE, 0xA700),
        (Cause.MISSING_IDENTITY, 0xA900),
        (Cause.MISMATCH, 0xA900),
        (Cause.CANNOT_UNDERSTAND, 0xC000),
        (Cause.SOP_CLASS, 0x0122),
        (Cause.DUPLICATE, 0x0111),
        (Cause.NOT_PERMITTED, 0x0124),
        (Cause.FAILED, 0x0110),
    ],
)
def test_a_refusal_has_the_meaning_the_standard_gives_its_code(cause: Cause, code: int) -> None:
    """PS3.4 Table B.2-1; PS3.7 9.1.1.1.9 and Annex C."""
    assert of_outcome(refused(cause), answer="warning").code == code


@pytest.mark.parametrize("error", sorted(ERRORS, key=lambda cls: cls.__name__))
def test_an_error_says_its_sentence(error: type[errors.VNAError]) -> None:
    assert of_store_error(error("Why.")) == Status(code=ERRORS[error][0], comment="Why.")
    assert of_find_error(error("Why.")) == Status(code=ERRORS[error][1], comment="Why.")


def test_an_error_of_another_module_has_its_ancestors_row() -> None:
    class Special(errors.TooLarge):
        """Something special is too large."""

    assert of_store_error(Special()).code == 0xA700


@pytest.mark.parametrize("cause", list(Cause))
def test_a_refusal_says_its_cause(cause: Cause) -> None:
    answered = of_outcome(refused(cause), answer="warning")
    assert answered == Status(code=CAUSES[cause], comment=refused(cause).message)


@pytest.mark.parametrize("answer", ["warning", "success"])
@pytest.mark.parametrize("caution", list(Caution))
def test_a_caution_is_a_warning_unless_the_setting_says_success(
    caution: Caution, answer: str
) -> None:
    stored = Stored(ref=STORED.ref, sop_class="1.2", caution=caution, message="Mind.")
    quiet = answer == "success" and caution is Caution.DIFFERS
    expected = Status(code=0) if quiet else Status(code=CAUTIONS[caution], comment="Mind.")
    assert of_outcome(stored, answer=answer) == expected


def test_success_is_0000() -> None:
    assert of_outcome(STORED, answer="warning") == Status(code=0)
    again = AlreadyStored(ref=STORED.ref, sop_class="1.2")
    assert of_outcome(again, answer="warning") == Status(code=0)


def test_our_own_statuses_fit_their_comment() -> None:
    own = [value for value in vars(table).values() if isinstance(value, Status)]
    assert own
    assert all(len(value.comment) <= 64 for value in own)


def test_every_error_has_a_status_of_the_normalized_services() -> None:
    """PS3.7 10.1.1.1.8 and 10.1.4.1.10."""
    allowed = {0x0110, 0x0112, 0x0115, 0x0124, 0x0213}
    assert {of_normalized_error(error()).code for error in family(errors.VNAError)} <= allowed
    assert of_normalized_error(errors.CommitUnknown()).code == 0x0213
    assert of_normalized_error(errors.InvalidUID("Why.")) == Status(code=0x0115, comment="Why.")
