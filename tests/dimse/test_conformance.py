"""docs/conformance.md says what the code does."""

from __future__ import annotations

import pytest

from tests.dimse.conformance import PAGE, in_page, written
from vna.dicom.uids import IMPLEMENTATION_CLASS
from vna.dimse.collecting import MAX_IDENTIFIER_BYTES
from vna.dimse.messages import MAX_COMMAND_BYTES


@pytest.mark.parametrize("name", sorted(written()))
def test_a_table_of_the_page_is_the_codes(name: str) -> None:
    assert in_page(PAGE.read_text(), name) == written()[name]


def test_the_page_names_what_stands_in_no_table() -> None:
    page = PAGE.read_text()
    assert IMPLEMENTATION_CLASS in page
    assert f"{MAX_IDENTIFIER_BYTES >> 20} MiB" in page
    assert f"{MAX_COMMAND_BYTES >> 10} KiB" in page
