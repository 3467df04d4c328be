"""The registry against the code behind it, the page about it, and the Transfer Syntaxes known."""

from __future__ import annotations

from pathlib import Path

import pytest

from vna.dicom.uids import TRANSFER_SYNTAXES, syntax
from vna.pixels import decoders, encoders, registry
from vna.pixels.description import PixelDescription

PAGE = (Path(__file__).parents[2] / "docs" / "conformance-dicomweb.md").read_text(encoding="utf-8")


def test_every_row_has_its_code_and_all_code_has_its_row() -> None:
    compressed = {uid for uid in registry.CODECS if syntax(uid).encapsulated}
    assert set(decoders._DECODERS) == compressed
    assert set(encoders._ENCODERS) == {uid for uid in registry.CODECS if registry.encodable(uid)}
    assert set(registry.CODECS) <= set(TRANSFER_SYNTAXES)


def test_nothing_lossy_is_ever_made() -> None:
    assert all(syntax(uid).lossless for uid in registry.CODECS if registry.encodable(uid))


def test_the_page_tells_every_codec() -> None:
    table = PAGE.split("| Transfer Syntax | UID | Decoded by | Encoded by |")[1].split("\n\n")[0]
    told = {}
    for line in table.splitlines()[2:]:
        _, uid, decoder, encoder = (cell.strip() for cell in line.strip("|").split("|"))
        told[uid.strip("`")] = (decoder, encoder)
    assert told == {uid: (c.decoder, c.encoder or "") for uid, c in registry.CODECS.items()}


IMAGE_CODECS = {
    *(registry.LOSSLESS_FIRST, registry.JPEG_LS, registry.JPEG_2000_LOSSLESS),
    *(registry.HTJ2K_LOSSLESS, registry.HTJ2K_RPCL, registry.JPEG_XL_LOSSLESS),
}


@pytest.mark.parametrize(
    ("about", "missing"),
    [
        ({"samples": 1, "bits_allocated": 16}, set()),
        ({"samples": 1, "bits_allocated": 16, "is_signed": True}, {registry.JPEG_XL_LOSSLESS}),
        ({"samples": 3, "bits_allocated": 8}, set()),
        ({"samples": 1, "bits_allocated": 32}, IMAGE_CODECS),
        ({"samples": 4, "bits_allocated": 8}, IMAGE_CODECS | {registry.RLE}),
    ],
)
def test_targets_are_what_the_pixels_allow(about: dict[str, int], missing: set[str]) -> None:
    found = registry.targets("1.2.840.10008.1.2", **about)
    assert {uid for uid in registry.CODECS if registry.encodable(uid)} - found == missing


def test_floating_pixels_stay_uncompressed() -> None:
    found = registry.targets("1.2.840.10008.1.2", samples=1, bits_allocated=32, floating=True)
    assert found == {"1.2.840.10008.1.2.1"}


def test_what_nobody_can_decode_becomes_nothing() -> None:
    assert registry.targets("1.2.840.10008.1.2.4.102", samples=3, bits_allocated=8) == frozenset()


@pytest.mark.parametrize(
    ("told", "stored", "target", "wanted"),
    [
        ("YBR_FULL_422", registry.BASELINE, "1.2.840.10008.1.2.1", "RGB"),
        ("YBR_RCT", registry.JPEG_2000_LOSSLESS, registry.HTJ2K_LOSSLESS, "YBR_RCT"),
        ("RGB", "1.2.840.10008.1.2.1", registry.JPEG_2000_LOSSLESS, "YBR_RCT"),
        ("RGB", "1.2.840.10008.1.2.1", registry.RLE, "RGB"),
        ("YBR_FULL", registry.RLE, registry.JPEG_LS, "YBR_FULL"),
        ("YBR_FULL", registry.RLE, registry.JPEG_2000_LOSSLESS, "YBR_FULL"),  # no second transform
        ("YBR_ICT", registry.JPEG_2000, registry.JPEG_2000, "YBR_ICT"),
    ],
)
def test_photometric_interpretation_follows_the_codec(
    told: str, stored: str, target: str, wanted: str
) -> None:
    about = PixelDescription(
        rows=1, columns=1, samples=3, photometric=told, bits_allocated=8, bits_stored=8
    )
    assert registry.transcoded(about, stored, target).photometric == wanted
