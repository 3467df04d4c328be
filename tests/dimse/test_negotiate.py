"""What is answered to an association request: contexts, roles, extended negotiation, rejections."""

from __future__ import annotations

import struct

import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import sop_class as tables
from pynetdicom.presentation import AllStoragePresentationContexts

from tests.dimse import wire
from vna.config import Dicom
from vna.dicom.uids import IMPLEMENTATION_CLASS
from vna.dimse.negotiate import (
    NO_SUCH_APPLICATION,
    NO_SUCH_VERSION,
    UNKNOWN_CALLED,
    UNKNOWN_CALLING,
    Negotiated,
    negotiate,
)
from vna.dimse.pdu import Role, decode_request
from vna.dimse.sop_classes import Service, service_of
from vna.dimse.upper_layer import Rejected

PRIVATE = "1.2.826.0.1.3680043.10.1.2"
FUTURE = "1.2.840.10008.5.1.4.1.1.9999.1"
DEFAULT = Dicom()


def negotiated(request: bytes, limits: Dicom = DEFAULT) -> Negotiated:
    answer = negotiate(decode_request(request[6:]), limits)
    assert isinstance(answer, Negotiated)
    return answer


def result_of(abstract: str, *syntaxes: str, limits: Dicom = DEFAULT) -> tuple[int, str]:
    (answer,) = negotiated(
        wire.associate(wire.context(1, abstract, *syntaxes)), limits
    ).answer.contexts
    return answer.result, answer.transfer_syntax


def test_every_storage_sop_class_is_taken() -> None:
    classes = tables._STORAGE_CLASSES.values()
    assert {uid for uid in classes if result_of(uid, wire.EXPLICIT) != (0, wire.EXPLICIT)} == set()


def test_the_storage_contexts_of_pynetdicom_are_all_taken() -> None:
    offered = {str(cx.abstract_syntax) for cx in AllStoragePresentationContexts}
    not_of_a_patient = set(tables._NON_PATIENT_OBJECT_CLASSES.values())
    taken = {u for u in offered if service_of(u, unknown_storage=False) is Service.STORAGE}
    assert offered - taken <= not_of_a_patient


def test_every_transfer_syntax_is_taken_for_storage() -> None:
    refused = {uid for uid in AllTransferSyntaxes if result_of(wire.CT, uid) != (0, uid)}
    assert refused == set()


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.110"])
def test_htj2k_and_jpeg_xl_are_taken_for_storage(uid: str) -> None:
    assert result_of(wire.CT, "1.2.3.4", uid) == (0, uid)


def test_the_first_of_the_proposers_syntaxes_wins() -> None:
    jpeg = "1.2.840.10008.1.2.4.70"
    assert result_of(wire.CT, jpeg, wire.EXPLICIT) == (0, jpeg)
    assert result_of(wire.CT, wire.EXPLICIT, jpeg) == (0, wire.EXPLICIT)


def test_an_unknown_syntax_alone_is_refused() -> None:
    assert result_of(wire.CT, "1.2.3.4")[0] == 4


@pytest.mark.parametrize("uid", [PRIVATE, FUTURE])
def test_an_unknown_class_is_taken_for_storage_by_the_setting(uid: str) -> None:
    assert result_of(uid)[0] == 0
    assert result_of(uid, limits=Dicom(unknown_storage=False))[0] == 3


@pytest.mark.parametrize(
    "uid",
    [
        *tables._NON_PATIENT_OBJECT_CLASSES.values(),
        *tables._PRINT_MANAGEMENT_CLASSES.values(),
        *tables._BASIC_WORKLIST_CLASSES.values(),
        *tables._MEDIA_STORAGE_CLASSES.values(),
        "1.2.840.10008.1.20.1",
        "1.2.840.10008.5.1.4.1.2.4.2",
        "1.2.840.10008.5.1.4.1.2.4.3",
        wire.IMPLICIT,
        "1.2.840.10008.3.1.1.1",
    ],
)
def test_a_known_class_that_is_no_storage_is_refused(uid: str) -> None:
    assert result_of(uid)[0] == 3


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.2.1.1", wire.STUDY_FIND])
@pytest.mark.parametrize(
    "syntax", [wire.IMPLICIT, wire.EXPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]
)
def test_both_information_models_are_found_in(uid: str, syntax: str) -> None:
    assert result_of(uid, syntax) == (0, syntax)
    assert result_of(uid, "1.2.840.10008.1.2.4.70")[0] == 4


def test_one_class_may_come_in_several_contexts() -> None:
    answer = negotiated(
        wire.associate(
            wire.context(1, wire.CT, wire.EXPLICIT), wire.context(3, wire.CT, wire.IMPLICIT)
        )
    )
    assert [c.transfer_syntax for c in answer.contexts.values()] == [wire.EXPLICIT, wire.IMPLICIT]


def test_a_rejected_context_is_answered_and_not_kept() -> None:
    answer = negotiated(
        wire.associate(wire.context(1, wire.CT, "1.2.3"), wire.context(3, wire.VERIFICATION))
    )
    assert [c.result for c in answer.answer.contexts] == [4, 0]
    assert list(answer.contexts) == [3]


def extended(uid: str, information: bytes) -> bytes:
    name = uid.encode()
    return wire.item(0x56, struct.pack(">H", len(name)) + name + information)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (b"\1", b"\1"),
        (b"\0\1\1", b"\0\1\1"),
        (b"\1\1\1\1\1", b"\1\1\1\1\0"),
        (b"\1\1\1\1\1\1\1", b"\1\1\1\1\0\1\1"),
        (b"\1\1\1\1\1\1\1\1\1", b"\1\1\1\1\0\1\1"),
        (b"\2\xff", b"\0\0"),
    ],
)
def test_find_options_are_answered_byte_by_byte(asked: bytes, answered: bytes) -> None:
    answer = negotiated(
        wire.associate(wire.context(1, wire.STUDY_FIND), user=extended(wire.STUDY_FIND, asked))
    )
    assert answer.answer.user.extended == ((wire.STUDY_FIND, answered),)
    options = answer.contexts[1].options
    assert options.relational == bool(answered[0])
    assert options.fuzzy == (answered[2:3] == b"\1")
    assert not options.enhanced
    assert options.multiple_value == (answered[6:7] == b"\1")


def test_options_of_other_classes_are_not_answered() -> None:
    answer = negotiated(
        wire.associate(wire.context(1, wire.CT), user=extended(wire.CT, b"\2\0\0\0\0\0"))
    )
    assert answer.answer.user.extended == ()
    assert not answer.contexts[1].options.relational


STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"


def role(uid: str, scu: int, scp: int) -> bytes:
    name = uid.encode()
    return wire.item(0x54, struct.pack(">H", len(name)) + name + bytes((scu, scp)))


@pytest.mark.parametrize(
    ("asked", "to_us", "from_us"),
    [((1, 1), True, True), ((1, 0), True, False), ((0, 1), False, True)],
)
def test_a_requestor_may_be_scu_and_scp_of_storage(
    asked: tuple[int, int], to_us: bool, from_us: bool
) -> None:
    answer = negotiated(wire.associate(wire.context(1, wire.CT), user=role(wire.CT, *asked)))
    assert answer.answer.user.roles == (Role(sop_class=wire.CT, scu=to_us, scp=from_us),)
    assert (answer.contexts[1].to_us, answer.contexts[1].from_us) == (to_us, from_us)


def test_without_a_word_of_roles_the_requestor_is_scu_alone() -> None:
    context = negotiated(wire.associate(wire.context(1, wire.CT))).contexts[1]
    assert (context.to_us, context.from_us) == (True, False)


@pytest.mark.parametrize(("uid", "asked"), [(wire.CT, (0, 0)), (wire.STUDY_FIND, (0, 1))])
def test_a_role_that_leaves_nobody_to_serve_is_refused(uid: str, asked: tuple[int, int]) -> None:
    answer = negotiated(wire.associate(wire.context(1, uid), user=role(uid, *asked)))
    assert [c.result for c in answer.answer.contexts] == [1]
    assert answer.answer.user.roles == ()


def test_a_requestor_of_another_service_stays_scu() -> None:
    answer = negotiated(wire.associate(wire.context(1, STUDY_GET), user=role(STUDY_GET, 1, 1)))
    assert answer.answer.user.roles == (Role(sop_class=STUDY_GET, scu=True, scp=False),)


def test_who_only_receives_gets_the_syntax_every_object_can_be_sent_in() -> None:
    jpeg = "1.2.840.10008.1.2.4.70"
    proposed = wire.context(1, wire.CT, jpeg, wire.IMPLICIT, wire.EXPLICIT)
    receiver = negotiated(wire.associate(proposed, user=role(wire.CT, 0, 1)))
    assert receiver.contexts[1].transfer_syntax == wire.EXPLICIT
    assert negotiated(wire.associate(proposed)).contexts[1].transfer_syntax == jpeg
    alone = wire.context(1, wire.CT, jpeg)
    receiver = negotiated(wire.associate(alone, user=role(wire.CT, 0, 1)))
    assert receiver.contexts[1].transfer_syntax == jpeg


@pytest.mark.parametrize(("asked", "agreed"), [(b"\1", b"\1"), (b"\1\1", b"\1\0"), (b"\0", b"\0")])
def test_relational_retrieval_is_agreed_on(asked: bytes, agreed: bytes) -> None:
    answer = negotiated(wire.associate(wire.context(1, STUDY_GET), user=extended(STUDY_GET, asked)))
    assert answer.answer.user.extended == ((STUDY_GET, agreed),)
    assert answer.contexts[1].options.relational == (agreed[0] == 1)


def test_one_operation_at_a_time_is_negotiated() -> None:
    window = wire.item(0x53, struct.pack(">HH", 0, 0))
    assert negotiated(wire.associate(user=window)).answer.user.window == (1, 1)
    assert negotiated(wire.associate()).answer.user.window is None


def test_we_say_who_we_are() -> None:
    user = negotiated(wire.associate()).answer.user
    assert (user.max_pdu_bytes, user.implementation_class) == (131072, IMPLEMENTATION_CLASS)
    assert user.implementation_version.startswith("VNA_")
    assert len(user.implementation_version) <= 16


@pytest.mark.parametrize(
    ("request_", "rejected"),
    [
        (wire.associate(version=2), NO_SUCH_VERSION),
        (wire.associate(application="1.2.3"), NO_SUCH_APPLICATION),
        (wire.associate(calling=""), UNKNOWN_CALLING),
        (wire.associate(calling="A\\B"), UNKNOWN_CALLING),
        (wire.associate(calling="A\nB"), UNKNOWN_CALLING),
        (wire.associate(calling="Ä"), UNKNOWN_CALLING),
        (wire.associate(called="OTHER"), UNKNOWN_CALLED),
    ],
)
def test_an_association_is_rejected_with_its_reason(request_: bytes, rejected: Rejected) -> None:
    limits = Dicom(called_ae_any=False)
    assert negotiate(decode_request(request_[6:]), limits) == rejected


def test_any_later_protocol_version_with_bit_0_is_taken() -> None:
    assert negotiated(wire.associate(version=3)).contexts


def test_any_called_title_is_taken_by_the_setting() -> None:
    assert negotiated(wire.associate(called="OTHER")).contexts
