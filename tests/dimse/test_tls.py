"""DIMSE over TLS (PS3.15 B.12, B.13): versions, suites, certificates, reload, timers."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.dimse import wire
from tests.dimse.certificates import Authority, Signed
from tests.dimse.edge import Edge, wait_for
from tests.dimse.shelf import Rows, Shelf, served
from vna.access.principal import system
from vna.access.remotes import Remote, Remotes
from vna.config import Dicom, Settings, Tls
from vna.dimse import tls as contexts
from vna.dimse.calling import connecting
from vna.dimse.scu import Requestor
from vna.dimse.secured import Certificate, _escaped
from vna.dimse.sop_classes import VERIFICATION
from vna.errors import ConfigError, Unavailable

Serve = Callable[..., Edge]
Strict = Callable[[str], Edge]
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ECHO = [(VERIFICATION, [wire.IMPLICIT])]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def ours(authority: Authority) -> Signed:
    return authority.sign("archive")


@pytest.fixture
def ct1(authority: Authority) -> Signed:
    return authority.sign("ct1")


@pytest.fixture
def strict(serve: Serve, registered: Remotes, authority: Authority, ours: Signed) -> Strict:
    """Return what starts an edge outside `--dev` with a file of identities."""

    def start(path: str) -> Edge:
        tls = authority.settings(ours)
        return serve(dev=False, remotes=registered, tls=tls, identities=path)

    return start


def identities(folder: Path, text: str) -> str:
    path = folder / "identities.toml"
    path.write_text(text)
    return str(path)


def known(folder: Path, signed: Signed, title: str = "CT1") -> str:
    text = f'[[ae]]\ntitle = "{title}"\nfingerprints = ["{signed.fingerprint}"]\n'
    return identities(folder, text)


def remote(edge: Edge, mine: Tls, calling: str = "CT1", **others: object) -> Requestor:
    return Requestor(
        "localhost",
        edge.secured,
        calling=calling,
        called="VNA",
        contexts=ECHO,
        tls=contexts.requestor(mine).value(),
        timeout_s=10,
        **others,  # type: ignore[arg-type]
    )


def echo(edge: Edge, mine: Tls, calling: str = "CT1") -> int:
    with remote(edge, mine, calling) as it:
        return it.echo()


def client(mine: Signed | None, authority: Authority) -> ssl.SSLContext:
    """A bare client that checks nothing but the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority.path)
    if mine is not None:
        context.load_cert_chain(mine.certificate, mine.key)
    return context


def shaken(edge: Edge, context: ssl.SSLContext) -> tuple[str | None, str]:
    """Shake hands and send a request; return the version and the suite. Raises `OSError`."""
    with (
        socket.create_connection(("127.0.0.1", edge.secured), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as sock,
    ):
        sock.sendall(wire.associate(calling="CT1"))
        assert sock.recv(1) in (b"\x02", b"\x03")  # in TLS 1.3 a refusal comes after the handshake
        name = sock.cipher()
        assert name is not None
        return sock.version(), name[0]


def test_an_ae_with_its_certificate_is_taken_without_dev(
    strict: Strict,
    authority: Authority,
    ct1: Signed,
    tmp_path: Path,
) -> None:
    edge = strict(known(tmp_path, ct1))
    assert echo(edge, authority.settings(ct1)) == 0


def test_a_subject_names_an_ae_as_well(
    strict: Strict,
    authority: Authority,
    ct1: Signed,
    tmp_path: Path,
) -> None:
    path = identities(tmp_path, '[[ae]]\ntitle = "CT1"\nsubjects = ["CN=ct1,O=Hospital"]\n')
    edge = strict(path)
    assert echo(edge, authority.settings(ct1)) == 0


def test_another_title_another_certificate_and_none_are_not_taken(
    strict: Strict,
    authority: Authority,
    ct1: Signed,
    tmp_path: Path,
) -> None:
    mr1 = authority.sign("mr1")
    edge = strict(known(tmp_path, ct1))
    with pytest.raises(Unavailable, match="1/1/3"):
        echo(edge, authority.settings(ct1), "CT2")
    with pytest.raises(Unavailable, match="1/1/3"):
        echo(edge, authority.settings(mr1))
    with edge.connect() as sock:  # the same title without TLS
        sock.sendall(wire.associate(calling="CT1"))
        assert wire.answer(sock) == (3, bytes((0, 1, 1, 3)))


@pytest.mark.parametrize("which", ["none", "expired", "stranger"])
def test_a_client_without_a_good_certificate_does_not_get_in(
    serve: Serve, authority: Authority, ours: Signed, tmp_path: Path, which: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shown = {
        "none": None,
        "expired": authority.sign("late", days=-1),
        "stranger": Authority(other, "Other CA").sign("ct1"),
    }[which]
    edge = serve(tls=authority.settings(ours))
    with pytest.raises(OSError):  # noqa: PT011 -- an alert or the end of the connection
        shaken(edge, client(shown, authority))
    wait_for(lambda: len(edge.acceptor) == 0)
    assert echo(edge, authority.settings(ours)) == 0


def test_client_certificates_may_be_switched_off(
    serve: Serve, authority: Authority, ours: Signed
) -> None:
    edge = serve(tls=authority.settings(ours, clients="none"))
    assert shaken(edge, client(None, authority))[0] == "TLSv1.3"


@pytest.mark.parametrize("profile", ["bcp195", "modified"])
def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(
    serve: Serve, authority: Authority, ours: Signed, profile: str
) -> None:
    """PS3.15 B.12: TLS 1.2 shall, 1.3 may be supported; RFC 8996: 1.0 and 1.1 must not."""
    edge = serve(tls=authority.settings(ours, profile=profile))
    context = client(ours, authority)
    assert shaken(edge, context)[0] == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shaken(edge, context)[0] == "TLSv1.2"
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):  # noqa: PT011 -- as above
        shaken(edge, context)


SUITES = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", True, True),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", True, True),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", True, True),
    ("ECDHE-ECDSA-AES256-CCM", False, True),
    ("ECDHE-ECDSA-AES256-SHA384", False, False),  # CBC
    ("ECDHE-ECDSA-AES256-SHA", False, False),  # CBC, SHA-1
    ("ECDHE-ECDSA-NULL-SHA", False, False),
]


@pytest.mark.parametrize(("suite", "b12", "b13"), SUITES)
def test_only_suites_of_the_profile_are_agreed_on(
    serve: Serve, authority: Authority, suite: str, b12: bool, b13: bool
) -> None:
    """PS3.15 B.12 (RFC 9325 4.2) and the list of B.13."""
    ours = authority.sign("archive")
    context = client(ours, authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    for profile, allowed in (("bcp195", b12), ("modified", b13)):
        edge = serve(tls=authority.settings(ours, profile=profile))
        if allowed:
            assert shaken(edge, context) == ("TLSv1.2", suite)
        else:
            with pytest.raises(OSError):  # noqa: PT011 -- as above
                shaken(edge, context)


def test_a_new_certificate_is_shown_without_a_restart(
    strict: Strict,
    authority: Authority,
    ours: Signed,
    ct1: Signed,
    tmp_path: Path,
) -> None:
    path = known(tmp_path, ct1)
    edge = strict(path)
    mine = authority.settings(ct1)
    before = _shown(edge, mine)
    renewed = authority.sign("renewed")
    # half of the change: the certificate does not fit its key, and the old pair goes on
    shutil.copy(renewed.certificate, ours.certificate)
    assert _shown(edge, mine) == before
    shutil.copy(renewed.key, ours.key)
    assert _shown(edge, mine) == renewed.fingerprint


def _shown(edge: Edge, mine: Tls) -> str:
    with remote(edge, mine) as it:
        assert it.echo() == 0
        found = it.certificate
    assert isinstance(found, Certificate)
    return found.fingerprint


def test_an_ae_taken_off_the_list_does_not_get_in_again(
    strict: Strict,
    authority: Authority,
    ct1: Signed,
    tmp_path: Path,
) -> None:
    edge = strict(known(tmp_path, ct1))
    with remote(edge, authority.settings(ct1)) as it:
        known(tmp_path, authority.sign("another"))
        assert it.echo() == 0  # who is in stays in
    with pytest.raises(Unavailable, match="1/1/3"):
        echo(edge, authority.settings(ct1))


def test_a_broken_list_of_identities_changes_nothing(
    strict: Strict,
    authority: Authority,
    ct1: Signed,
    tmp_path: Path,
) -> None:
    edge = strict(known(tmp_path, ct1))
    identities(tmp_path, "[[ae]]\ntitle = ")
    assert echo(edge, authority.settings(ct1)) == 0


def test_handshakes_that_stop_halfway_end_with_artim_and_hinder_nobody(
    serve: Serve, authority: Authority, ours: Signed
) -> None:
    edge = serve(tls=authority.settings(ours), artim_s=2.0)
    with ExitStack() as stack:
        begun = time.monotonic()
        stuck = [
            stack.enter_context(socket.create_connection(("127.0.0.1", edge.secured), timeout=10))
            for _ in range(20)
        ]
        for number, sock in enumerate(stuck):
            sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[: number % 12])
        assert echo(edge, authority.settings(ours)) == 0
        assert time.monotonic() - begun < 2
        assert all(wire.is_closed(sock) for sock in stuck)
        assert time.monotonic() - begun < 6
    wait_for(lambda: len(edge.acceptor) == 0)


def test_plain_dicom_on_the_tls_port_and_tls_on_the_plain_one_are_refused(
    serve: Serve, authority: Authority, ours: Signed
) -> None:
    edge = serve(tls=authority.settings(ours))
    with socket.create_connection(("127.0.0.1", edge.secured), timeout=10) as sock:
        sock.sendall(wire.associate())
        assert wire.is_closed(sock)
    with (
        edge.connect() as raw,
        pytest.raises(OSError),  # noqa: PT011 -- what answers is no TLS
    ):
        client(ours, authority).wrap_socket(raw, server_hostname="localhost")
    assert echo(edge, authority.settings(ours)) == 0


def test_objects_arrive_whole_under_tls(serve: Serve, authority: Authority, ours: Signed) -> None:
    shelf = Shelf()
    edge = serve(served(ingest=shelf), tls=authority.settings(ours))
    data = os.urandom(3 << 20)
    with Requestor(
        "localhost",
        edge.secured,
        calling="CT1",
        called="VNA",
        contexts=[(wire.CT, [wire.EXPLICIT])],
        tls=contexts.requestor(authority.settings(ours)).value(),
    ) as it:
        for number in range(3):
            assert it.store(wire.CT, f"1.2.{number}", wire.EXPLICIT, [data]).code == 0
    assert [bytes(taken.data) == data for taken in shelf.taken] == [True] * 3


def test_stopping_releases_an_association_under_tls(
    serve: Serve, authority: Authority, ours: Signed
) -> None:
    edge = serve(tls=authority.settings(ours))
    context = client(ours, authority)
    with (
        socket.create_connection(("127.0.0.1", edge.secured), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as sock,
    ):
        sock.sendall(wire.associate())
        assert wire.answer(sock)[0] == 2
        ending = threading.Thread(target=edge.close)
        ending.start()
        assert wire.answer(sock)[0] == 5
        sock.sendall(wire.pdu(6, bytes(4)))
        assert sock.recv(1) == b""  # close_notify, or the end
        ending.join()


def test_our_requestor_trusts_only_its_authority_and_the_right_host(
    serve: Serve, authority: Authority, ours: Signed, tmp_path: Path
) -> None:
    edge = serve(tls=authority.settings(ours))
    other = tmp_path / "other"
    other.mkdir()
    stranger = Authority(other, "Other CA")
    with pytest.raises(Unavailable, match="TLS"):
        echo(edge, stranger.settings(ours))
    with (
        pytest.raises(Unavailable, match="TLS"),
        Requestor(
            "127.0.0.1",  # the certificate names localhost
            edge.secured,
            calling="CT1",
            called="VNA",
            contexts=ECHO,
            tls=contexts.requestor(authority.settings(ours)).value(),
        ),
    ):
        pass


def test_settings_that_cannot_work_are_told_at_once(authority: Authority, ours: Signed) -> None:
    for settings, why in (
        (Tls(), "tls.certificate"),
        (Tls(certificate=str(ours.certificate), key=str(ours.key)), "tls.ca"),
        (authority.settings(Signed(ours.certificate, authority.path, "")), "cannot be used"),
        (authority.settings(Signed(Path("/nowhere"), ours.key, "")), "cannot be used"),
    ):
        with pytest.raises(ConfigError, match=why):
            contexts.acceptor(settings).value()
    with pytest.raises(ConfigError, match=r"tls\.ca"):
        contexts.requestor(Tls()).value()


def test_characters_of_a_subject_are_escaped_as_rfc_4514_says() -> None:
    assert _escaped('a,b+c"d\\e') == 'a\\,b\\+c\\"d\\\\e'
    assert (_escaped("#x"), _escaped(" x ")) == ("\\#x", "\\ x\\ ")


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60)


def test_dcmtk_is_answered_under_tls(strict: Strict, authority: Authority, tmp_path: Path) -> None:
    theirs = authority.sign("dcmtk")
    edge = strict(known(tmp_path, theirs, "ECHOSCU"))
    done = _run(
        "echoscu", "-v", "+tls", theirs.key, theirs.certificate, "+cf", authority.path,
        "localhost", str(edge.secured),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for shown in (["+tla"], ["-tls"]):
        done = _run("echoscu", *shown, "-ic", "localhost", str(edge.secured))
        assert done.returncode != 0


@pytest.mark.parametrize(
    ("flag", "is_taken"),
    [("+py", True), ("+px", True), ("+pz", True), ("+pa", False), ("+pn", False)],
)
def test_dcmtks_profiles_are_taken_unless_they_are_retired(
    serve: Serve, authority: Authority, ours: Signed, flag: str, is_taken: bool
) -> None:
    """PS3.15 B.9 to B.13; +pa is AES in CBC with SHA-1, +pn no encryption at all."""
    edge = serve(tls=authority.settings(authority.sign("rsa", key=RSA)))
    done = _run(
        *("echoscu", flag, "+tls", ours.key, ours.certificate, "+cf", authority.path),
        *("localhost", str(edge.secured)),
    )
    assert (done.returncode == 0) == is_taken, done.stderr


def test_findscu_finds_under_tls(serve: Serve, authority: Authority, ours: Signed) -> None:
    rows = Rows(lambda: iter([{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}] * 50))
    edge = serve(served(query=rows), tls=authority.settings(ours))
    done = _run(
        *("findscu", "-v", "-S", "+tls", ours.key, ours.certificate, "+cf", authority.path),
        *("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID"),
        *("localhost", str(edge.secured)),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("1.2.3") == 50


def test_dcmtk_without_a_certificate_is_answered_where_none_is_asked_for(
    serve: Serve, authority: Authority, ours: Signed
) -> None:
    edge = serve(tls=authority.settings(ours, clients="none"))
    done = _run("echoscu", "+tla", "+cf", authority.path, "localhost", str(edge.secured))
    assert done.returncode == 0, done.stderr


def test_pynetdicom_is_answered_under_tls(serve: Serve, authority: Authority, ours: Signed) -> None:
    edge = serve(tls=authority.settings(ours))
    ae = AE(ae_title="PEER")
    ae.add_requested_context(Verification)
    context = client(ours, authority)
    assoc = ae.associate("127.0.0.1", edge.secured, tls_args=(context, "localhost"))
    assert assoc.is_established
    assert assoc.send_c_echo().Status == 0
    assoc.release()
    assert assoc.is_released


def test_a_remote_ae_registered_with_tls_is_called_under_it_and_taken_only_so(
    serve: Serve, registered: Remotes, authority: Authority, ours: Signed
) -> None:
    mine = authority.settings(ours)
    edge = serve(dev=False, remotes=registered, tls=mine)
    away = Remote(ae_title="PACS", host="localhost", port=edge.secured, tls=True)
    registered.add(system("test"), away)
    settings = Settings(dicom=Dicom(ae_title="PACS"), tls=mine)
    with connecting(away, settings)(ECHO) as remote:
        assert remote.echo() == 0
    with pytest.raises(Unavailable, match="TLS"):
        connecting(away, Settings())(ECHO)
    with edge.connect() as sock:
        sock.sendall(wire.associate(calling="PACS"))
        assert wire.answer(sock) == (3, bytes((0, 1, 1, 3)))
