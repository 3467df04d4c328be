"""What others wrote is shown as they wrote it, but for what a terminal would act upon."""

from __future__ import annotations

import pytest

from vna.cli.plain import plain


@pytest.mark.parametrize(
    "text",
    [
        "Müller^Anna",
        "e\u0301",  # a combining accent
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        "山田\u3000太郎",  # the wide space
        "Dr.\u00a0Strauß",
        "می\u200cگل",  # two parts of one name, not joined
        "क्\u200dष",
    ],
)
def test_names_are_shown_as_they_are_written(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    "sign",
    ["\x1b", "\x00", "\n", "\r", "\x7f", "\x9b", "\u2028", "\u2029", "\u202e", "\u2066", "\ud800"],
)
def test_what_a_terminal_would_act_upon_is_not(sign: str) -> None:
    assert plain(f"a{sign}b") == "a\ufffdb"
