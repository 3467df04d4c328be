"""One object coming in: bytes are scanned, hashed and sealed as they arrive, in constant memory.

Nothing here raises for what the bytes hold. A refusal is remembered and the rest swallowed, since
both protocols want the whole object read before the answer.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from vna import telemetry
from vna.access.policy import permits
from vna.access.principal import Action, Principal
from vna.blobs.meta import AttributesSink
from vna.blobs.store import BlobStore, BlobWriter
from vna.config import Limits
from vna.dicom.part10 import FileMeta, Part10Reader, group2_for
from vna.dicom.refs import UID, Ref, StudyRef
from vna.dicom.scan import Scan, Scanner
from vna.errors import (
    Conflict,
    Corrupt,
    InvalidRequest,
    InvalidUID,
    NotPermitted,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
    VNAError,
)
from vna.ingest.conform import valid
from vna.ingest.outcome import Cause, Expected, Outcome, Refused, Source

log = logging.getLogger(__name__)

Buffer = bytes | bytearray | memoryview

# first match wins
_CAUSES: tuple[tuple[type[VNAError], Cause], ...] = (
    (TooLarge, Cause.TOO_LARGE),
    (InvalidUID, Cause.MISSING_IDENTITY),
    (InvalidRequest, Cause.CANNOT_UNDERSTAND),
    (Unavailable, Cause.OUT_OF_RESOURCES),
    (NotPermitted, Cause.NOT_PERMITTED),
    (Corrupt, Cause.FAILED),
    (Conflict, Cause.MISMATCH),
    (UnsupportedMedia, Cause.TRANSFER_SYNTAX),
)

_OURS = (Cause.OUT_OF_RESOURCES, Cause.FAILED)
_refusing = telemetry.Spell(log, "objects refused for a fault of ours")


def cause_of(exc: VNAError) -> Cause:
    """Say what an error that keeps an object out means to its sender."""
    return next((cause for kind, cause in _CAUSES if isinstance(exc, kind)), Cause.FAILED)


def require_into(principal: Principal, ref: Ref) -> None:
    """Return if a principal may store this; refuse it alike whether its study is there.

    What is looked for and out of reach is not found: to who brings something, that says nothing.
    """
    if not permits(principal, Action.STORE, ref):
        raise NotPermitted("Nothing may be stored into this study.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Everything known of an object once its last byte is in, its blob still open."""

    scan: Scan
    file: FileMeta
    sink: AttributesSink
    writer: BlobWriter
    transfer_syntax: str
    received_us: int
    digest_received: bytes | None


class Receiving:
    """Takes the bytes of one object; `finish` gives the outcome. Used by one thread."""

    def __init__(
        self,
        *,
        principal: Principal,
        source: Source,
        expected: Expected,
        transfer_syntax: str | None,
        store: BlobStore,
        limits: Limits,
        digest_received: bool,
        keep: Callable[[Receiving, Received], Outcome],
        batch: str | None = None,
    ) -> None:
        """`batch` is the import in quarantine it belongs to: its objects have keys of their own."""
        self.principal = principal
        self.source = source
        self.expected = expected
        self.refused: Refused | None = None
        self._store = store
        self._limits = limits
        self._keep = keep
        self._batch = batch
        self._begun = time.perf_counter()
        self._received_us = time.time_ns() // 1000
        self._count = 0
        self._sink = AttributesSink(limits)
        self._head = bytearray()  # until the study, and so the key, is known
        self._writer: BlobWriter | None = None
        self._part10: Part10Reader | None = None
        self._scanner: Scanner | None = None
        self._transfer_syntax = transfer_syntax or ""
        self._digest = hashlib.sha256() if digest_received and transfer_syntax is None else None
        if transfer_syntax is None:
            self._part10 = Part10Reader(meta_group_bytes=limits.meta_group_bytes)
        else:
            self._scanner = Scanner(transfer_syntax, limits, json=self._sink)

    def feed(self, data: Buffer) -> None:
        """Take the next bytes. `data` is used up on return and may be overwritten."""
        self._count += len(data)
        if self.refused is not None:
            return
        try:
            if self._count > self._limits.object_bytes:
                raise TooLarge("The object is larger than the archive takes.")
            if self._digest is not None:
                self._digest.update(data)
            if self._part10 is not None:
                data = self._after_head(self._part10, data)
            if len(data):
                self._take(data)
        except VNAError as exc:
            self.refuse(exc)
        except Exception:
            log.exception("receiving failed")
            self._give_up(Cause.FAILED, "The archive failed to take this object.")

    def finish(self) -> Outcome:
        """Seal, make durable and index the object; return what the sender is told."""
        try:
            outcome = self.refused or self._finish()
        except VNAError as exc:
            outcome = self.refuse(exc)
        except Exception:
            log.exception("keeping failed")
            outcome = self._give_up(Cause.FAILED, "The archive failed to keep this object.")
        finally:
            self._close()
        _note(outcome)
        kind = outcome.cause.value if isinstance(outcome, Refused) else type(outcome).__name__
        telemetry.INSTANCES_RECEIVED.labels(self.source.proto, kind.lower()).inc()
        telemetry.BYTES_RECEIVED.labels(self.source.proto).inc(self._count)
        telemetry.RECEIVE_SECONDS.observe(time.perf_counter() - self._begun)
        return outcome

    def abort(self) -> None:
        """The sender went away: keep nothing."""
        self._close()

    def refuse(self, exc: VNAError) -> Refused:
        """Turn an error into the outcome, and let go of what was kept so far."""
        return self._give_up(cause_of(exc), str(exc))

    def _give_up(self, cause: Cause, message: str) -> Refused:
        if self.refused is None:
            self.refused = Refused(
                cause=cause,
                message=message,
                sop_class=valid(self.expected.sop_class),
                sop_instance=valid(self.expected.sop_instance),
            )
        self._close()
        return self.refused

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.abort()  # of no effect once finished
            self._writer = None
        self._head = bytearray()

    def _after_head(self, part10: Part10Reader, data: Buffer) -> Buffer:
        rest = part10.feed(data)
        self._begin_scan(part10)
        return rest

    def _begin_scan(self, part10: Part10Reader) -> None:
        if self._scanner is None and part10.meta is not None:
            self._transfer_syntax = part10.meta.transfer_syntax
            self._scanner = Scanner(self._transfer_syntax, self._limits, json=self._sink)

    def _take(self, data: Buffer) -> None:
        scanner = self._scanner
        if scanner is None:
            return
        scanner.feed(data)
        writer = self._writer
        if writer is None:
            if scanner.study is None and len(self._head) + len(data) <= self._limits.head_bytes:
                self._head += data
                return
            writer = self._open_writer(scanner.study)
        writer.write(data)

    def _open_writer(self, study: str | None) -> BlobWriter:
        """Choose the study's key and begin the blob with what was held back."""
        if study is not None and valid(study) is None:
            raise InvalidUID(
                "The Study Instance UID is not a UID: 1 to 64 characters of digits and dots."
                if study
                else "The data set has no Study Instance UID."
            )
        # before a key is made: whoever may not store into a study leaves no trace of having tried;
        # what is brought into quarantine is in no study yet
        if study is not None and self._batch is None:
            require_into(self.principal, StudyRef(UID(study)))
        # An object whose study is not known early gets a key of its own: it can be shredded, too.
        owner = study or f"unknown/{uuid.uuid4().hex}"
        if self._batch is not None:  # rejecting an import destroys keys no other object needs
            owner = f"import/{self._batch}/{owner}"
        key = self._store.keys.for_study(owner)
        self._writer = self._store.writer(key)
        self._writer.write(self._head)
        self._head = bytearray()
        return self._writer

    def _finish(self) -> Outcome:
        if self._part10 is not None:
            rest = self._part10.finish()  # a data set too short to be told from a head
            self._begin_scan(self._part10)
            self._take(rest)
        if self._scanner is None:
            return self._give_up(Cause.CANNOT_UNDERSTAND, "There is no data set here.")
        scan = self._scanner.finish()
        writer = self._writer or self._open_writer(scan.study)
        if self.refused is not None:
            return self.refused
        file = self._part10.meta if self._part10 is not None else None
        return self._keep(
            self,
            Received(
                scan=scan,
                file=file if file is not None and file.group2 else self._written_meta(scan),
                sink=self._sink,
                writer=writer,
                transfer_syntax=self._transfer_syntax,
                received_us=self._received_us,
                digest_received=None if self._digest is None else self._digest.digest(),
            ),
        )

    def _written_meta(self, scan: Scan) -> FileMeta:
        """The File Meta Information of an object that came without one (PS3.10 7.1)."""
        sop_class = scan.sop_class or self.expected.sop_class or ""
        sop_instance = scan.sop_instance or self.expected.sop_instance or ""
        return FileMeta(
            transfer_syntax=self._transfer_syntax,
            sop_class=self.expected.sop_class,
            sop_instance=self.expected.sop_instance,
            group2=group2_for(
                sop_class=valid(sop_class) or "",
                sop_instance=valid(sop_instance) or "",
                transfer_syntax=self._transfer_syntax,
                source_ae=self.source.calling_ae,
            ),
            preamble=b"",
        )


def _note(outcome: Outcome) -> None:
    """Have it told when objects are kept out that would be welcome, and when no more are."""
    if not isinstance(outcome, Refused):
        _refusing.worked()
    elif outcome.cause in _OURS:
        _refusing.failed(outcome.message)
