"""Character sets and folding: the standard's own examples, pydicom's files, and inverses."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dicom.corpus import charset_files, read
from vna.dicom.text import decode, encode, fold, fold_name, phonetic

E = b"\x1b"
# PS3.5 Annexes H, I, J, K: character set, value field, text
EXAMPLES = [
    (
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou="
        + E
        + b"$B;3ED"
        + E
        + b"(B^"
        + E
        + b"$BB@O:"
        + E
        + b"(B="
        + E
        + b"$B$d$^$@"
        + E
        + b"(B^"
        + E
        + b"$B$?$m$&"
        + E
        + b"(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3="
        + E
        + b"$B;3ED"
        + E
        + b"(J^"
        + E
        + b"$BB@O:"
        + E
        + b"(J="
        + E
        + b"$B$d$^$@"
        + E
        + b"(J^"
        + E
        + b"$B$?$m$&"
        + E
        + b"(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    (
        "\\ISO 2022 IR 149",
        b"Hong^Gildong="
        + E
        + b"$)C\xfb\xf3^"
        + E
        + b"$)C\xd1\xce\xd4\xd7="
        + E
        + b"$)C\xc8\xab^"
        + E
        + b"$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東="),
    ("GB18030", "Wang^XiaoDong=王^小东=".encode("gb18030"), "Wang^XiaoDong=王^小东="),
    ("GBK", "Wang^XiaoDong=王^小东=".encode("gbk"), "Wang^XiaoDong=王^小东="),
    (
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=" + E + b"$)A\xd5\xc5^" + E + b"$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东=",
    ),
    ("ISO_IR 100", "Buc^Jérôme".encode("latin_1"), "Buc^Jérôme"),
    ("ISO_IR 101", "Wałęsa".encode("iso8859_2"), "Wałęsa"),
    ("ISO_IR 126", "Διονυσιος".encode("iso8859_7"), "Διονυσιος"),
    ("ISO_IR 127", "قباني^لنزار".encode("iso8859_6"), "قباني^لنزار"),
    ("ISO_IR 138", "שרון^דבורה".encode("iso8859_8"), "שרון^דבורה"),
    ("ISO_IR 144", "Люк\u0441\u0435\u043c".encode("iso8859_5"), "Люк\u0441\u0435\u043c"),
    ("ISO_IR 148", "Çavuşoğlu".encode("iso8859_9"), "Çavuşoğlu"),
    ("ISO_IR 166", "นามสกุล".encode("iso8859_11"), "นามสกุล"),
    ("ISO_IR 203", "Œuvre €".encode("iso8859_15"), "Œuvre €"),
]


@pytest.mark.parametrize(("name", "raw", "text"), EXAMPLES)
def test_the_examples_of_the_standard_are_read_and_written(
    name: str, raw: bytes, text: str
) -> None:
    assert decode(raw, name, "PN") == (text, False)
    written = encode(text, name)
    assert written is not None
    assert decode(written, name, "PN") == (text, False)
    if not name.startswith("ISO 2022 IR 13"):
        assert written == raw


@pytest.mark.parametrize("path", charset_files(), ids=lambda path: path.name)
def test_names_of_the_charset_files_are_those_pydicom_reads(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pydicom.dcmread(path)
        theirs.decode()
        name = str(theirs.get("PatientName", "")).replace("\x1b$)A", "").rstrip("= ")
    reading = read(path.read_bytes())
    assert "bad-characters" not in reading.scan.flags
    ours = reading.json.get("00100010", {}).get("Value", [{}])[0]
    groups = [ours.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
    assert "=".join(groups).rstrip("=") == name
    folded = fold_name(ours)
    assert fold_name(name) == folded == fold_name(folded)
    assert encode(name, reading.scan.charset) is not None or not name


@pytest.mark.parametrize(
    ("spelt", "term"),
    [
        ("ISO-IR 100", "ISO_IR 100"),
        ("iso ir 100", "ISO_IR 100"),
        ("ISO 2022 IR100", "ISO_IR 100"),
        ("utf-8", "ISO_IR 192"),
        ("ISO_IR_192", "ISO_IR 192"),
    ],
)
def test_misspelt_terms_are_understood(spelt: str, term: str) -> None:
    raw = encode("Müller", term)
    assert raw is not None
    assert decode(raw, spelt, "PN") == ("Müller", False)


def test_delimiters_restore_the_initial_sets() -> None:
    raw = E + b"-L" + "Люк".encode("iso8859_5") + b"^\xe9\\\xe9"
    assert decode(raw, "ISO 2022 IR 100\\ISO 2022 IR 144", "PN")[0] == "Люк^é\\é"
    text = E + b"-L" + "Люк".encode("iso8859_5") + b"^\xd0\r\n\xe9"
    assert decode(text, "ISO 2022 IR 100\\ISO 2022 IR 144", "LT")[0] == "Люк^\u0430\r\né"


def test_a_backslash_inside_a_kanji_is_no_delimiter() -> None:
    kanji = "".join(chr(c) for c in range(0x4E00, 0x9000) if _has_backslash(chr(c)))
    assert len(kanji) > 50
    raw = encode(f"a\\{kanji}", "\\ISO 2022 IR 87")
    assert raw is not None
    assert decode(raw, "\\ISO 2022 IR 87", "LO") == (f"a\\{kanji}", False)


def _has_backslash(character: str) -> bool:
    try:
        return b"\\" in character.encode("iso2022_jp")[3:5]
    except UnicodeEncodeError:
        return False


@pytest.mark.parametrize(
    ("name", "raw", "text"),
    [
        ("ISO_IR 192", b"M\xfcller", "M\ufffdller"),
        ("", b"M\xfcller", "Müller"),
        ("ISO_IR 6", b"M\xfcller", "Müller"),
        ("NONSENSE", b"M\xfcller", "Müller"),
        ("ISO 2022 IR 100", b"a" + E + b"(Xb", "a\ufffdb"),
        ("\\ISO 2022 IR 149", E + b"$)C\xfb", "\ufffd"),
        ("\\ISO 2022 IR 87", E + b"$B;", "\ufffd"),
        ("\\ISO 2022 IR 87", E, "\ufffd"),
    ],
)
def test_bad_bytes_are_replaced_and_told(name: str, raw: bytes, text: str) -> None:
    assert decode(raw, name, "PN") == (text, True)


def test_what_a_set_cannot_carry_is_not_written() -> None:
    assert encode("Müller", "") is None
    assert encode("山田", "ISO_IR 100") is None
    assert encode("Müller", "NONSENSE") is None
    assert encode("Smith", "NONSENSE") == b"Smith"
    assert encode("山田 Müller", "ISO_IR 192") == "山田 Müller".encode()


SETS = [
    *("ISO_IR 100", "ISO_IR 101", "ISO_IR 144", "ISO_IR 192", "GB18030", "\\ISO 2022 IR 87"),
    *("ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126", "\\ISO 2022 IR 149"),
    *("ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159", "\\ISO 2022 IR 58"),
]
letters = st.sampled_from("aZ ^=\\éüłжЖΩλ山田太郎やまだﾔﾏ홍길동王小东張~\r\n")


@given(st.sampled_from(SETS), st.text(letters, max_size=20), st.sampled_from(["PN", "LO", "LT"]))
@settings(max_examples=400, deadline=None)
def test_what_is_written_is_read_back(name: str, text: str, vr: str) -> None:
    raw = encode(text, name)
    if raw is not None:
        assert decode(raw, name, vr) == (text, False)


@pytest.mark.parametrize("vr", ["PN", "LO", "LT"])
@pytest.mark.parametrize("between", ["^", "=", "\\", "^a="])
def test_a_set_is_designated_anew_where_only_some_vrs_restore_the_initial_one(
    vr: str, between: str
) -> None:
    """PS3.5 6.1.2.5.3: `^` and `=` restore it in PN alone, a backslash not in LT."""
    name, text = "ISO 2022 IR 100\\ISO 2022 IR 144", f"Ж{between}éЖ"
    raw = encode(text, name)
    assert raw is not None
    assert decode(raw, name, vr) == (text, False)


@given(st.sampled_from([*SETS, "", "NONSENSE"]), st.binary(max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_read(name: str, raw: bytes) -> None:
    for vr in ("PN", "LO", "LT"):
        text, bad = decode(raw, name, vr)
        assert bad or "\ufffd" not in text or "\ufffd".encode() in raw or name == "GB18030"
        text.encode()


# -- folding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Müller", "muller"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Ångström", "angstrom"),
        ("Sørensen", "sorensen"),
        ("Wałęsa", "walesa"),
        ("Đorđević", "dordevic"),
        ("\uff39\uff41\uff4d\uff41\uff44\uff41", "yamada"),
        ("ﾔﾏﾀﾞ", "ヤマダ"),
        ("  two   words ", "two words"),
        ("Διονύσιος", "διονυσιοσ"),
        ("J*n?s", "j*n?s"),
        ("が", "が"),
        ("홍길동", "홍길동"),
        ("İstanbul", "istanbul"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text(max_size=30))
@settings(max_examples=300, deadline=None)
def test_folding_twice_changes_nothing(text: str) -> None:
    once = fold(text)
    assert fold(once) == once
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))
    assert fold_name(fold_name(text)) == fold_name(text)


@pytest.mark.parametrize(
    ("value", "folded"),
    [
        ("Doe^Jane^^^", "doe^jane"),
        ("Doe ^ Jane", "doe^jane"),
        ("Yamada^Tarou=山田^太郎=", "yamada^tarou=山田^太郎"),
        ({"Alphabetic": "Müller^Zoë^^Dr."}, "muller^zoe^^dr."),
        ({"Ideographic": "山田^太郎^"}, "=山田^太郎"),
        ({}, ""),
        ("", ""),
        ("^^^=^=", ""),
        ("A^=B^^=C", "a=b=c"),
        ("Do*^J?ne", "do*^j?ne"),
    ],
)
def test_names_fold_by_group(value: dict[str, str] | str, folded: str) -> None:
    assert fold_name(value) == folded


@pytest.mark.parametrize(
    "alike",
    [
        ("Meyer", "Maier", "Mayer", "Meier"),
        ("Schmidt", "Schmitt", "Schmid"),
        ("Smith", "Smyth"),
        ("Catherine", "Katherine", "Kathrin"),
        ("Philip", "Filip", "Phillip"),
        ("Nielsen", "Nilsen"),
        ("Thomson", "Tomson"),
        ("Wagner", "Vagner"),
        ("Jansson", "Janson"),
        ("Knight", "Night"),
    ],
)
def test_names_that_sound_alike_have_one_code(alike: tuple[str, ...]) -> None:
    assert len({tuple(phonetic(fold_name(name))) for name in alike}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("Smith", "Jones"), ("Meyer", "Mueller"), ("Anna", "Otto"), ("山田", "太郎"), ("Kim", "Lee")],
)
def test_names_that_sound_otherwise_have_other_codes(one: str, other: str) -> None:
    assert phonetic(fold_name(one)) != phonetic(fold_name(other))


def test_codes_do_not_know_the_order_of_words() -> None:
    assert phonetic(fold_name("Doe^Jane Anna")) == phonetic(fold_name("Anna Jane^Doe"))
    assert phonetic("") == []
    assert all(phonetic(fold_name("山田^太郎=やまだ")))
