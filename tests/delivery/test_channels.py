"""Addresses and numbers are read strictly, written one way, and never shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.delivery.channels import Channel, checked, country, email, phone
from vna.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("kim@example.org", "kim@example.org"),
        ("  Kim.Lee+x@Example.ORG ", "Kim.Lee+x@example.org"),
        ("kim@bücher.example", "kim@xn--bcher-kva.example"),
    ],
)
def test_an_address_is_read(text: str, value: str) -> None:
    assert email(text) == Channel("email", value)


@pytest.mark.parametrize(
    "text",
    [
        "", "kim", "@example.org", "kim@", "kim@localhost", "kim@-a.org", "a..b@example.org",
        "kim@example.org\nBcc: other@example.org", "kim@example.org, other@example.org",
        '"kim lee"@example.org', "kim@exa mple.org", "x" * 65 + "@example.org",
        "kim@" + "a." * 200 + "org",
        "kim@[127.0.0.1]", "<kim@example.org>",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        email(text)
    assert str(caught.value) == "An e-mail address is written name@example.org."


@given(st.text(max_size=300))
def test_an_address_that_is_taken_is_one_line_without_spaces(text: str) -> None:
    try:
        found = email(text)
    except InvalidRequest:
        return
    assert found.value.isascii()
    assert found.value.isprintable()
    assert not set(found.value) & set(' ,<>"\r\n')
    assert email(found.value) == found


def test_a_number_is_written_as_e164_does() -> None:
    assert phone("+49 (0)30 123456").value == "+4930123456"
    assert phone("030 123456", region="DE").value == "+4930123456"
    assert country(phone("+44 7700 900123")) == "GB"


@pytest.mark.parametrize("text", ["", "030 123456", "+49", "+49 abc", "+" + "9" * 40, "x" * 10_000])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        phone(text)


def test_the_same_mailbox_is_known_again_however_it_is_written() -> None:
    assert email("Kim.Lee+one@Example.org").mailbox() == email("kimlee@example.org").mailbox()
    assert email("kim@example.org").mailbox() != email("tim@example.org").mailbox()


def test_a_channel_shows_its_mask_and_never_its_value() -> None:
    assert email("kim@example.org").masked() == "k…@example.org"
    assert phone("+4930123442").masked() == "…42"
    assert "kim" not in repr(email("kim@example.org"))


def test_an_address_of_another_sort_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        checked(Channel("pigeon", "kim"))
