"""Send instances to a DICOMweb archive by STOW-RS (PS3.18 10.5), each with its own state.

A request carries some instances, written as they are read; the answer says of each how it went.
One that cannot be read here spoils its request, and is left out of the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vna.access.peers import Peer
from vna.config import Settings
from vna.db.work import Item, Settled
from vna.dicom.part10 import group2_for
from vna.dicom.refs import UID
from vna.engines import Engines
from vna.errors import NotFound, Unavailable, VNAError
from vna.jobs.attempts import Attempt, attempted, ending, may_be_taken_later
from vna.jobs.reading import Reader, Reads
from vna.jobs.stow_client import Answer, Client, Part, PayloadTooLarge
from vna.jobs.task import Ending, Handler, Task
from vna.retrieve.outgoing import Outgoing
from vna.retrieve.retrieval import Tally

KIND = "stow"

_MOST = 100  # instances of one request
_MOST_BYTES = 256 << 20
_UNANSWERED = "The answer does not name it."


def storing(engines: Engines, settings: Settings) -> Handler:
    """Return what does jobs of the kind "stow"."""

    def store(task: Task) -> Ending:
        peer = known(engines, task.job.remote)
        waiting = [item for item in task.items() if item.state == "waiting"]
        if waiting:
            reader = Reader(task.job, engines, settings)
            send(task, engines, settings, peer, waiting, reader=reader)
        return ending(task)

    return store


def known(engines: Engines, name: str | None) -> Peer:
    """Find the DICOMweb archive of a job. Raises `NotFound`."""
    peer = engines.peers.find(name or "")
    if peer is None:
        raise NotFound(f"There is no DICOMweb archive {name}: `vna peer add`.")
    return peer


@dataclass(slots=True)
class _Unread:
    """The instance that spoiled a request, why, and whether it may be read another time."""

    uid: UID | None = None
    cause: str = ""
    state: str = "failed"


def send(
    task: Task,
    engines: Engines,
    settings: Settings,
    peer: Peer,
    waiting: Sequence[Item],
    *,
    reader: Reads,
) -> None:
    """Send what waits of a job, each instance noted; what is taken later stays waiting."""
    with attempted(task, engines, waiting, reader=reader, to=peer.name) as attempt:
        if attempt.found.listed:
            _all_stored(task, attempt, peer, settings, reader)


def _all_stored(
    task: Task, attempt: Attempt, peer: Peer, settings: Settings, reader: Reads
) -> None:
    with Client(peer, settings) as client:
        for batch in _batches(reader, attempt):
            if task.must_leave:
                break
            went: dict[UID, Answer] = {}
            try:
                _store(client, batch, peer, settings, went)
            except Unavailable as exc:
                untaken = Answer(state="waiting", cause=str(exc))
                _note(task, attempt, {one.ref.instance: untaken for one in batch} | went)
                raise
            _note(task, attempt, went)


def _note(task: Task, attempt: Attempt, went: dict[UID, Answer]) -> None:
    _count(went, attempt.tally)
    task.note([_settled(attempt.numbers[uid], answer) for uid, answer in went.items()])


def _batches(reader: Reads, attempt: Attempt) -> Iterator[list[Outgoing]]:
    """Part a retrieval into requests: so many instances, or so many bytes.

    The more often some were tried, the fewer go together: one the archive fails at is alone soon.
    """
    found, batch, size = attempt.found, list[Outgoing](), 0
    for listed, outgoing in zip(found.listed, reader.instances(found), strict=True):
        most = max(1, _MOST >> 2 * attempt.tried[listed.ref.instance])
        if batch and (len(batch) >= most or size + listed.size > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(outgoing)
        size += listed.size
    if batch:
        yield batch


def _store(
    client: Client,
    batch: Sequence[Outgoing],
    peer: Peer,
    settings: Settings,
    went: dict[UID, Answer],
) -> None:
    """Store a batch, say in `went` how it went; of one that cannot be read here only the others.

    What is too large a request goes in halves. Raises `Unavailable`.
    """
    left = list(batch)
    while left := _still(left, went):
        unread = _Unread()
        try:
            answers = client.store(_parts(left, peer, settings, unread))
        except PayloadTooLarge as exc:
            if len(left) == 1:
                went[left[0].ref.instance] = Answer(state="failed", cause=str(exc))
                return
            for half in (left[: len(left) // 2], left[len(left) // 2 :]):
                _store(client, half, peer, settings, went)
            return
        except VNAError:
            if unread.uid is None:
                raise
            went[unread.uid] = Answer(state=unread.state, cause=unread.cause)
            left = [one for one in left if one.ref.instance != unread.uid]
            continue
        for one in left:
            missing = Answer(state="waiting", cause=_UNANSWERED)
            went[one.ref.instance] = answers.get(one.ref.instance, missing)
        return


def _still(batch: Iterable[Outgoing], went: dict[UID, Answer]) -> list[Outgoing]:
    """Leave out of a request what may not go any more, and say so. Raises `Unavailable`."""
    left = []
    for one in batch:
        try:
            one.still()
        except Unavailable:
            raise
        except VNAError as exc:
            went[one.ref.instance] = Answer(state="failed", cause=str(exc))
        else:
            left.append(one)
    return left


def _parts(
    batch: Iterable[Outgoing], peer: Peer, settings: Settings, unread: _Unread
) -> Iterator[Part]:
    for one in batch:
        syntax = _syntax(one, peer.transfer_syntaxes)
        file = _file(one, syntax, settings)
        yield Part(transfer_syntax=syntax, chunks=_watched(file, one.ref.instance, unread))


def _syntax(one: Outgoing, wanted: Sequence[str]) -> str:
    """Choose the form one goes out in: the first wanted that can be made, else as stored."""
    possible = (*one.forms.offered, *one.forms.made)
    return next((syntax for syntax in wanted if syntax in possible), one.transfer_syntax)


def _file(one: Outgoing, syntax: str, settings: Settings) -> Iterator[bytes]:
    """Write an instance as a DICOM file (PS3.10 7), unless it may not go any more."""
    one.still()
    body = one.load(syntax)
    group2 = group2_for(
        sop_class=one.sop_class,
        sop_instance=one.ref.instance,
        transfer_syntax=syntax,
        source_ae=settings.dicom.ae_title,
    )
    yield bytes(128) + b"DICM" + group2
    yield from map(bytes, body.chunks)  # a chunk is good only until the next is asked for


def _watched(chunks: Iterator[bytes], instance: UID, unread: _Unread) -> Iterator[bytes]:
    try:
        yield from chunks
    except VNAError as exc:
        unread.uid, unread.cause = instance, str(exc)
        if isinstance(exc, Unavailable):  # a disk or an object store that is away for a while
            unread.state = "waiting"
        raise


def _count(went: dict[UID, Answer], tally: Tally) -> None:
    states = [answer.state for answer in went.values()]
    tally.completed += states.count("done")
    tally.warning += states.count("warning")
    failures = [uid for uid, answer in went.items() if answer.state not in ("done", "warning")]
    tally.failed += len(failures)
    tally.failures += failures


def _settled(number: int, answer: Answer) -> Settled:
    code = answer.reason
    state = answer.state
    if state == "failed" and code is not None and may_be_taken_later(code):
        state = "waiting"
    return Settled(number, state, code, answer.cause)
