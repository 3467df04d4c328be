"""conf/vna.toml is the reference: it holds every setting, its default and a reason."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from vna.config import Settings, address
from vna.errors import ConfigError
from vna.loading import NOUGHT, load

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "conf" / "vna.toml"


def names() -> list[str]:
    found = []
    for section in dataclasses.fields(Settings):
        value = getattr(Settings(), section.name)
        if dataclasses.is_dataclass(value):
            found += [f"{section.name}.{f.name}" for f in dataclasses.fields(value)]
        else:
            found.append(section.name)
    return found


def test_the_reference_says_the_defaults() -> None:
    said = load(REFERENCE, environ={})
    assert dataclasses.replace(said, data=Settings().data) == Settings()
    assert said.data.name == Settings().data.name


def test_every_setting_stands_in_the_reference_with_a_reason() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    for name in names():
        key = name.rpartition(".")[2]
        assert re.search(rf"^{key} = .*# \S", text, re.MULTILINE), name


@pytest.mark.parametrize("name", names())
def test_every_setting_is_read_by_some_room(name: str) -> None:
    key = name.rpartition(".")[2]
    rooms = [p for p in (ROOT / "vna").rglob("*.py") if p.name != "config.py"]
    assert any(re.search(rf"\.{key}\b", p.read_text(encoding="utf-8")) for p in rooms), name


def test_the_environment_is_over_the_file_and_flags_are_over_both(tmp_path: Path) -> None:
    file = tmp_path / "vna.toml"
    file.write_text('[dicom]\nae_title = "FILE"\nworkers = 1\n[site]\nissuer = "FILE"\n')
    found = load(
        file,
        environ={"VNA_DICOM_AE_TITLE": "ENV", "VNA_DICOM_WORKERS": "2"},
        flags={"dicom.workers": 3, "dicom.listen": None},
    )
    assert (found.site.issuer, found.dicom.ae_title, found.dicom.workers) == ("FILE", "ENV", 3)


@pytest.mark.parametrize(
    "text",
    [
        "[dicom]\nmax_pdu = 1\n",
        "[dicoms]\n",
        "[dicom]\nworkers = -1\n",
        "[postgres]\nconnections = 0\n",
        "[limits]\nsearch_s = 0.0\n",
        "[blobs]\nfree_percent = 101.0\n",
        "[sharing]\nnight_from = 24\n",
        "[mail]\nport = 65536\n",
        "[dicom]\nworkers = true\n",
        '[dicom]\nworkers = "many"\n',
        'dicom = "x"\n',
        '[versions]\npolicy = "last"\n',
        "[dicom]\nworkers = 1.5\n",
        "[dicom]\nworkers = inf\n",
        "[jobs]\nlease_s = nan\n",
        '[blobs]\nfree_bytes = "2 GiB"\n',
        '[http]\ncors_origins = ["https://a.example.org", "https://b.example.org"]\n',
        'data = ["./var"]\n',
        '[http]\nlisten = "8080"\n',
        '[http]\nlisten = "127.0.0.1:8080, 192.0.2.1:8080"\n',
        '[dicom]\nlisten = "127.0.0.1:11112, 192.0.2.1"\n',
        '[dicom]\ntls_listen = "archive.example.org:dicom"\n',
        '[sharing]\nlisten = ":8443"\n',
        '[syslog]\nto = "audit.example.org"\n',
        '[sharing]\nurl = "images.example.org"\n',
        '[sharing]\nurl = "https://images.example.org/vna"\n',
        '[sharing]\nurl = "https://images.example.org#s"\n',
        '[http]\ncors_origins = "viewer.example.org"\n',
        '[http]\ncors_origins = "https://viewer.example.org/"\n',
        '[http]\ncors_origins = "https://a.example.org https://b.example.org"\n',
        '[site]\nissuer = ""\n',
        '[site]\nissuer = "A\\\\B"\n',
        '[sms]\ncallback = "images.example.org"\n',
        '[sms]\ncountries = "+49"\n',
        '[guests]\ndomains = "@example.org"\n',
        '[guests]\ndomains = "a.example.org b.example.org"\n',
        '[outbound]\nallow = "???"\n',
        '[outbound]\nallow = "https://pacs.example.org"\n',
        "not toml",
        "deep = " + "[" * 10_000,
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "vna.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load(file, environ={})


@pytest.mark.parametrize("name", sorted(".".join(where) for where in NOUGHT))
def test_nought_is_taken_where_it_means_something(name: str) -> None:
    section, key = name.split(".")
    found = load(environ={}, flags={name: 0})
    assert getattr(getattr(found, section), key) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http.listen", "[::1]:0"),
        ("dicom.listen", "127.0.0.1:11112, ct_net.example.org:104,"),
        ("dicom.tls_listen", ""),
        ("sharing.listen", "0.0.0.0:8443"),
        ("syslog.to", ""),
        ("sharing.url", "https://images.example.org"),
        ("sharing.url", "https://images.example.org:8443/"),
        ("sharing.url", "http://[::1]:8080"),
        ("http.cors_origins", "*"),
        ("site.issuer", "St. Mary's & Sons^2"),
        ("sms.callback", "https://images.example.org"),
        ("sms.countries", "DE, at,"),
        ("guests.domains", "example.org, klinik-süd.example"),
        ("outbound.allow", "pacs, 10.0.0.0/8, fd00::/8, 192.0.2.7"),
        ("http.cors_origins", "https://a.example.org, http://viewer_1:3000,"),
    ],
)
def test_an_address_that_is_whole_is_taken(name: str, value: str) -> None:
    section, key = name.split(".")
    found = load(environ={}, flags={name: value})
    assert getattr(getattr(found, section), key) == value


def test_no_choice_is_told_as_an_empty_word() -> None:
    with pytest.raises(ConfigError, match="one of nothing, twilio, webhook"):
        load(environ={"VNA_SMS_PROVIDER": "pigeon"})


def test_a_file_that_is_not_utf_8_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "vna.toml"
    file.write_bytes('[site]\nname = "Münster"\n'.encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load(file, environ={})


@pytest.mark.parametrize(
    "name",
    [
        *("VNA_PORT", "VNA_SERVICE_HOST", "VNA_HTTP", "VNA_DICOM_TITLE"),
        *("VNA_DATA_FOLDER", "VNA_DEV_MODE"),  # below what is no section
    ],
)
def test_a_variable_that_names_no_setting_is_named_itself(name: str) -> None:
    with pytest.raises(ConfigError, match=f"variable {name} names no setting"):
        load(environ={name: "tcp://192.0.2.7:80"})


def test_a_variable_below_a_section_that_is_none_in_the_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "vna.toml"
    file.write_text("http = 5\n")
    with pytest.raises(ConfigError, match="http is a section"):
        load(file, environ={"VNA_HTTP_WORKERS": "1"})


@pytest.mark.parametrize(
    ("text", "found"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:80", ("::1", 80)), ("host:0", ("host", 0))],
)
def test_an_address_is_host_and_port(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["", "1.2.3.4", ":80", "host:", "host:x", "host:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        address(text)


def test_the_settings_of_a_hardened_archive_are_settings_and_are_not_laxer(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "vna.toml"
    file.write_text(block)
    found, ours = load(file, environ={}), Settings()
    assert not found.dev
    assert found.dicom.listen == ours.dicom.listen
    assert not found.dicom.plain_anywhere
    assert found.tls.clients == "required"
    assert found.access.idle_s <= ours.access.idle_s
    for where in (found.http.listen, found.dicom.tls_listen):
        assert address(where)[1]
