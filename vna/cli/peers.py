"""`vna peer`: the DICOMweb archives that rules send to. Works while the archive serves."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vna.access.peers import Peer
from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings
from vna.dicom.uids import TRANSFER_SYNTAXES
from vna.errors import ConfigError

_FILE_MOST = 1 << 20


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "DICOMweb archives that instances are stored to by STOW-RS; `vna route add --to-peer` "
        "says which. Spoken to over https, their certificates verified."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    adding = words.add_parser("add", help="add one, or change all of a known one")
    add = adding.add_argument
    add("name", metavar="NAME", help="what it is called here")
    add("url", metavar="URL", help="the base of its services, without /studies")
    add("--token-file", type=Path, metavar="FILE", help="holds its bearer token; - reads it here")
    add("--ca", type=Path, metavar="FILE", help="PEM its certificate must come from")
    add(
        "--transfer-syntax", action="append", default=[], metavar="UID", help="it wants; best first"
    )
    add(
        "--offered",
        metavar="NAME",
        help="recipients of shares may have it sent there, by this name",
    )
    shown = words.add_parser("list", help="show them all, never their tokens")
    shown.add_argument("--json", action="store_true", help="a JSON array, for programs")
    removing = words.add_parser("remove", help="forget one")
    removing.add_argument("name", metavar="NAME", help="as the list shows it")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one act; 0 when it is done, 1 when there is no such archive."""
    wanted = _peer(args) if args.act == "add" else None
    with at_work(settings, "peer") as archive:
        peers, who = archive.engines.peers, shell()
        if wanted is not None:
            is_new = peers.add(who, wanted)
            print(f"{wanted.name} {'added' if is_new else 'changed'}: {_line(wanted)}")
        elif args.act == "remove":
            peers.remove(who, args.name)
            print(f"{args.name} removed")
        else:
            _show(peers.all(who), as_json=args.json)
    return 0


def _peer(args: argparse.Namespace) -> Peer:
    for syntax in args.transfer_syntax:
        if syntax not in TRANSFER_SYNTAXES:
            raise ConfigError(f"{syntax!r} is not the UID of a Transfer Syntax this archive knows.")
    return Peer(
        name=args.name,
        url=args.url,
        authority=_text(args.ca) if args.ca else None,
        transfer_syntaxes=tuple(args.transfer_syntax),
        offered_as=args.offered,
        token=_text(args.token_file).strip() if args.token_file else None,
    )


def _text(path: Path) -> str:
    """Read a file, or standard input: a token on the command line could be seen by others."""
    try:
        if str(path) == "-":
            return sys.stdin.read(_FILE_MOST)
        with path.open(encoding="utf-8") as file:
            return file.read(_FILE_MOST)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read.") from exc


def _show(peers: list[Peer], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "name": peer.name,
                "url": peer.url,
                "token": peer.has_token,
                "authority": peer.authority is not None,
                "transfer_syntaxes": peer.transfer_syntaxes,
                "offered_as": peer.offered_as,
            }
            for peer in peers
        ]
        print(json.dumps(rows, indent=2))
        return
    for peer in peers:
        print(f"{peer.name:<16}  {_line(peer)}")
    if not peers:
        print("no DICOMweb archive; add one with `vna peer add NAME URL`")


def _line(peer: Peer) -> str:
    said = [peer.url]
    if peer.has_token or peer.token:
        said.append("with a token")
    if peer.authority:
        said.append("certificates of its own authority")
    if peer.transfer_syntaxes:
        said.append("wants " + " ".join(peer.transfer_syntaxes))
    if peer.offered_as:
        said.append(f"offered to recipients of shares as {peer.offered_as}")
    return ", ".join(said)
