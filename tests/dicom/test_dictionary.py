"""The dictionaries say what pydicom's own functions say of them, and bring nothing else along."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import datadict
from pydicom._private_dict import private_dictionaries
from pydicom.uid import UID

from vna.dicom import dictionary

_REPEATING = [int(mask.replace("x", digit), 16) for mask in datadict.masks for digit in "02E"]


def _theirs(tag: int) -> tuple[str, str] | None:
    try:
        return datadict.dictionary_VR(tag), datadict.dictionary_keyword(tag)
    except KeyError:
        return None


def _ours(tag: int) -> tuple[str, str] | None:
    try:
        return dictionary.vr_of(tag), dictionary.keyword_of(tag)
    except KeyError:
        return None


def test_every_attribute_of_the_standard_is_there() -> None:
    assert all(_ours(tag) == _theirs(tag) for tag in (*datadict.DicomDictionary, *_REPEATING))
    for keyword, tag in datadict.keyword_dict.items():
        assert dictionary.tag_of(keyword) == tag
    assert dictionary.tag_of("NoSuchKeyword") is None


@given(st.integers(0, 0xFFFFFFFF))
def test_any_tag_is_known_to_both_or_to_neither(tag: int) -> None:
    assert _ours(tag) == _theirs(tag)


def _private(of: Callable[[int, str], str], tag: int, creator: str) -> str | None:
    try:
        return of(tag, creator)
    except KeyError:
        return None


def test_a_private_attribute_is_found_in_any_block() -> None:
    found = 0
    for creator, known in private_dictionaries.items():
        for mask in known:
            tag = int(mask.replace("x", "1"), 16)
            ours = _private(dictionary.private_vr_of, tag, creator)
            assert ours == _private(datadict.private_dictionary_VR, tag, creator)
            found += ours is not None
    assert found > 10_000
    assert dictionary.private_vr_of(0x0019100A, "SIEMENS MR HEADER") == "US"
    for tag, creator in ((0x00191001, "NOBODY"), (0x001910EF, "SIEMENS MR HEADER")):
        with pytest.raises(KeyError):
            dictionary.private_vr_of(tag, creator)


def test_every_uid_has_its_name_and_its_kind() -> None:
    assert len(dictionary.uids()) > 400
    for uid in dictionary.uids():  # others may have added to pydicom's own: pynetdicom does
        assert (dictionary.uid_name(uid), dictionary.uid_kind(uid)) == (
            UID(uid).name,
            UID(uid).type,
        )
    assert (dictionary.uid_name("1.2.3"), dictionary.uid_kind("1.2.3")) == ("1.2.3", "")


def test_reading_the_tables_imports_nothing_of_pydicom() -> None:
    code = (
        "import sys, vna.dicom.dictionary\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('pydicom', 'numpy')])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
