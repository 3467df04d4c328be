"""Servers of the web room on free ports, and a raw socket to speak to them."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict
from starlette.types import ASGIApp

from tests.archive import Archive, open_archive
from tests.conftest import SCHEMA, TestPostgres
from vna.access.trail import Trail
from vna.config import Http, Limits
from vna.db.pool import Database
from vna.engines import Engines
from vna.web import server
from vna.web.asgi import create
from vna.web.multipart import (
    MultipartParser,
    PartBegins,
    PartData,
    boundary_of,
    closing,
    multipart_type,
    part_head,
)

# of clients of plain HTTP: each would read every authority there is, longer than it asks
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a test's server listens."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout_s: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)


@contextlib.contextmanager
def running(
    app: ASGIApp, limits: Http | None = None, *, tls: tuple[Path, Path] | None = None
) -> Iterator[Address]:
    """Serve an application while the test runs."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    address = Address(sock.getsockname()[1])
    stop = threading.Event()
    thread = threading.Thread(
        target=server.run, args=(app, limits or Http(), sock), kwargs={"stop": stop, "tls": tls}
    )
    thread.start()
    try:
        yield address
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


@dataclass(slots=True)
class Site:
    """An archive with real engines, the server in front of it, and a client."""

    archive: Archive
    address: Address
    client: httpx.Client
    database_name: str
    engines: Engines
    closing: contextlib.ExitStack  # what a test opens and the site closes

    @property
    def root(self) -> str:
        """The DICOMweb service."""
        return f"{self.address.url}/dicom-web"

    def get(self, path: str, accept: str | None = "*/*", **headers: str) -> httpx.Response:
        """GET below the DICOMweb service."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if accept is not None:
            fields["accept"] = accept
        return self.client.get(f"{self.root}{path}", headers=fields)

    def store(self, *files: bytes, path: str = "/studies", **headers: str) -> httpx.Response:
        """POST files in one multipart body."""
        fields = {"content-type": multipart_type("application/dicom", "b"), **headers}
        return self.client.post(f"{self.root}{path}", content=body_of(*files), headers=fields)


def a_while_ago(site: Site) -> None:
    """Have all that is held be older than it is."""
    with site.archive.database.transaction() as tx:
        for table in ("instance", "series_state", "study_state"):
            earlier = f"UPDATE {table} SET changed_at = changed_at - interval '3 seconds'"  # noqa: S608 -- our own
            tx.execute(earlier)


def body_of(*files: bytes, content_type: str = "application/dicom") -> bytes:
    """Write a multipart body of files."""
    pieces = []
    for number, file in enumerate(files):
        pieces += [part_head("b", content_type, first=number == 0), file]
    return b"".join([*pieces, closing("b", empty=not files)])


def parts_of(answer: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """Read the parts of a multipart answer."""
    _, boundary = boundary_of(answer.headers["content-type"])
    parser = MultipartParser(boundary, Limits())
    parts: list[tuple[dict[str, str], bytes]] = []
    for event in parser.feed(answer.content):
        if isinstance(event, PartBegins):
            parts.append((event.headers, b""))
        elif isinstance(event, PartData):
            parts[-1] = (parts[-1][0], parts[-1][1] + bytes(event.data))
    parser.finish()
    return parts


def read_xml(document: bytes) -> ElementTree.Element:
    """Read XML this archive wrote."""
    return ElementTree.fromstring(document)  # noqa: S314 -- our own


@contextlib.contextmanager
def serving(
    postgres: TestPostgres, folder: Path, *, dev: bool = True, **sections: dict[str, Any]
) -> Iterator[Site]:
    """Serve an archive of its own; `sections` are settings that differ."""
    dsn = postgres.clone()
    database = Database(dsn, schema=SCHEMA)
    try:
        with contextlib.ExitStack() as stack:
            archive = stack.enter_context(open_archive(folder, database, **sections))
            engines = Engines(
                ingest=archive.ingest,
                imports=archive.imports,
                query=archive.query,
                retrieve=archive.retrieve,
                render=archive.render,
                discs=archive.discs,
                remotes=archive.remotes,
                peers=archive.peers,
                routes=archive.routes,
                commitment=archive.commitment,
                transactions=archive.transactions,
                pushes=archive.pushes,
                lifecycle=archive.lifecycle,
                corrections=archive.corrections,
                identities=archive.identities,
                changes=archive.changes,
                labels=archive.labels,
                holds=archive.holds,
                people=archive.people,
                trail=Trail(database, archive.audit),
                messages=archive.messages,
                sharing=archive.sharing,
                patient_accounts=archive.patient_accounts,
                carers=archive.carers,
                settings=dataclasses.replace(archive.settings, dev=dev),
                check=lambda: ask(database),
            )
            address = stack.enter_context(running(create(engines), archive.settings.http))
            client = stack.enter_context(httpx.Client(timeout=60, verify=NO_TLS))
            name = conninfo_to_dict(dsn)["dbname"]
            yield Site(archive, address, client, str(name), engines, stack)
    finally:
        database.close()
        postgres.drop(dsn)


def ask(database: Database) -> None:
    """Ask the database whether it is there."""
    with database.reading() as conn:
        conn.execute("SELECT 1")


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One archive for the tests of a module; each test has a study of its own."""
    with serving(postgres, tmp_path_factory.mktemp("archive")) as found:
        yield found
