"""Reports of Storage Commitment as remote AEs write them (PS3.4 Table J.3-2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.factories import CT, EXPLICIT, Value, dataset
from vna.dimse.commitments import read_report, read_request
from vna.errors import InvalidRequest


@pytest.mark.parametrize(
    ("vr", "reason", "read"),
    [
        ("US", 0x0112, 0x0112),
        ("UL", 1 << 31, 0x0110),
        ("UV", 1 << 63, 0x0110),
        ("SL", -1, 0x0110),
        ("LO", "no such object", 0x0110),
    ],
)
def test_a_failure_reason_that_is_none_is_a_processing_failure(
    vr: str, reason: Value, read: int
) -> None:
    """Failure Reason (0008,1197) is a US: what else a report holds there says nothing."""
    item = [("00081150", "UI", CT), ("00081155", "UI", "1.2.3"), ("00081197", vr, reason)]
    data = dataset([("00081195", "UI", "1.2.4"), ("00081198", "SQ", [item])])
    ((_, found),) = read_report(data, EXPLICIT, most=1 << 20).failed
    assert found == read


@pytest.mark.parametrize("read", [read_request, read_report])
def test_references_that_are_no_sequence_are_refused(read: Callable[..., object]) -> None:
    data = dataset([("00081195", "UI", "1.2.4"), ("00081199", "UI", "1.2.3")])
    with pytest.raises(InvalidRequest):
        read(data, EXPLICIT, most=1 << 20)
