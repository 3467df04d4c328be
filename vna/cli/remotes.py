"""`vna remote add | list | echo | remove`: the remote AEs, while the archive serves or not."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

from vna.access.remotes import Remote, Remotes
from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings
from vna.dicom.charsets import charset
from vna.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE, TRANSFER_SYNTAXES
from vna.dimse.calling import context_for
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import VERIFICATION
from vna.errors import ConfigError, NotFound, Unavailable

_RIGHTS = ("store", "find", "move")
_ECHO_S = 10.0


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Remote AEs: who may call with which rights, and where each is called. A change is in "
        "force within seconds, without a restart. Who is not listed is rejected, but for --dev."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    _add_adding(words.add_parser("add", help="add a remote AE, or change all of a known one"))
    listing = words.add_parser("list", help="show them all")
    listing.add_argument("--json", action="store_true", help="a JSON array, for programs")
    for name, summary in (("echo", "send it a C-ECHO"), ("remove", "forget it")):
        words.add_parser(name, help=summary).add_argument("name", metavar="NAME", help="its title")
    for inner in words.choices.values():
        take_common(inner)


def _add_adding(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="its AE title")
    add("host", metavar="HOST", help="where it listens: a name or an address")
    add("port", metavar="PORT", type=int, help="on which port, 1 to 65535")
    add("--tls", action="store_true", help="call it over TLS")
    add("--may", metavar="LIST", default=",".join(_RIGHTS), help="of store,find,move, or none")
    add("--destination", action="append", metavar="AE", help="it may move to; again for more")
    add("--character-set", metavar="TERM", help="that its answers come in, such as ISO_IR 192")
    add(
        "--transfer-syntax", action="append", default=[], metavar="UID", help="it wants; best first"
    )
    add("--issuer", metavar="NAME", help="assigning authority of the Patient IDs it sends")
    add("--max-associations", type=int, default=0, metavar="N", help="it may have with us")
    add("--parallel", type=int, default=1, metavar="N", help="associations we open to it")
    add(
        "--offered",
        metavar="NAME",
        help="recipients of shares may have it sent there, by this name",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one act; 0 when it is done, 1 when there is no such AE or it does not answer."""
    wanted = _remote(args) if args.act == "add" else None
    with at_work(settings, "remote") as archive:
        remotes, who = archive.engines.remotes, shell("remote")
        if wanted is not None:
            is_new = remotes.add(who, wanted)
            print(f"{wanted.ae_title} {'added' if is_new else 'changed'}: {_line(wanted)}")
        elif args.act == "remove":
            remotes.remove(who, args.name)
            print(f"{args.name} removed")
        elif args.act == "list":
            _show(remotes.all(), as_json=args.json)
        else:
            _echo(_known(remotes, args.name), settings)
    return 0


def _remote(args: argparse.Namespace) -> Remote:
    rights = {word for word in args.may.split(",") if word and word != "none"}
    if unknown := rights - set(_RIGHTS):
        raise ConfigError(f"--may takes {', '.join(_RIGHTS)}, not {sorted(unknown)[0]!r}.")
    for uid in args.transfer_syntax:
        if uid not in TRANSFER_SYNTAXES:
            raise ConfigError(f"{uid!r} is not the UID of a Transfer Syntax this archive knows.")
    if args.character_set is not None and not charset(args.character_set).known:
        raise ConfigError("--character-set takes Defined Terms of PS3.3 C.12.1.1.2: ISO_IR 192.")
    return Remote(
        ae_title=args.name,
        host=args.host,
        port=args.port,
        tls=args.tls,
        may_store="store" in rights,
        may_find="find" in rights,
        may_move="move" in rights,
        destinations=tuple(args.destination) if args.destination else None,
        character_set=args.character_set,
        transfer_syntaxes=tuple(args.transfer_syntax),
        patient_id_issuer=args.issuer,
        max_associations=args.max_associations,
        parallel=args.parallel,
        offered_as=args.offered,
    )


def _known(remotes: Remotes, name: str) -> Remote:
    remote = remotes.find(name)
    if remote is None:
        raise NotFound(f"There is no remote AE {name}; `vna remote list` shows them.")
    return remote


def _show(remotes: list[Remote], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([dataclasses.asdict(remote) for remote in remotes], indent=2))
        return
    for remote in remotes:
        print(f"{remote.ae_title:<16}  {_line(remote)}")
    if not remotes:
        print("no remote AE; add one with `vna remote add NAME HOST PORT`")


def _line(remote: Remote) -> str:
    rights = [r for r in _RIGHTS if getattr(remote, f"may_{r}")]
    said = [f"{remote.host}:{remote.port}", "may " + (" ".join(rights) or "nothing")]
    if remote.tls:
        said.append("TLS")
    if remote.destinations is not None:
        said.append("moves to " + " ".join(remote.destinations))
    if remote.character_set:
        said.append(f"answers in {remote.character_set}")
    if remote.transfer_syntaxes:
        said.append("wants " + " ".join(remote.transfer_syntaxes))
    if remote.patient_id_issuer:
        said.append(f"issuer {remote.patient_id_issuer}")
    if remote.max_associations:
        said.append(f"at most {remote.max_associations} associations")
    if remote.parallel > 1:
        said.append(f"{remote.parallel} in parallel")
    if remote.offered_as:
        said.append(f"offered to recipients of shares as {remote.offered_as}")
    return ", ".join(said)


def _echo(remote: Remote, settings: Settings) -> None:
    began = time.perf_counter()
    with Requestor(
        remote.host,
        remote.port,
        calling=settings.dicom.ae_title,
        called=remote.ae_title,
        contexts=[(VERIFICATION, [IMPLICIT_LITTLE, EXPLICIT_LITTLE])],
        timeout_s=_ECHO_S,
        tls=context_for(remote, settings),
    ) as association:
        status = association.echo()
    if status:
        raise Unavailable(f"{remote.ae_title} answers C-ECHO with status {status:04X}H.")
    took_ms = (time.perf_counter() - began) * 1000
    print(f"{remote.ae_title} at {remote.host}:{remote.port} answers in {took_ms:.0f} ms")
