"""`vna user`: who may sign in. Works while the archive serves."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vna.access.accounts import PERSON, SERVICE, Account
from vna.access.roles import PATIENT
from vna.app import at_work
from vna.archive import Archive
from vna.cli import links
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings
from vna.errors import ConfigError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    add = words.add_parser("add", help="make an account; prints the one-time link of a person")
    add.add_argument("login", help="a name to sign in by: a-z, 0-9 and . _ @ -")
    add.add_argument(
        "--role", action="append", default=[], help="as `vna role list` shows them; again for more"
    )
    add.add_argument("--service", action="store_true", help="a program: has tokens, signs in never")
    add.add_argument("--sso", action="store_true", help="signs in at oidc.issuer, under this login")
    add.add_argument("--subject", help="of a service: how jwt.issuer calls it (claim `sub`)")
    add.add_argument(
        "--certificate", type=Path, metavar="FILE", help="of a service: shown to a proxy of ours"
    )
    certified = words.add_parser("certificate", help="another certificate of a service")
    certified.add_argument("login", help="of the service")
    certified.add_argument("certificate", type=Path, metavar="FILE", help="in PEM")
    shown = words.add_parser("list", help="show the accounts")
    shown.add_argument("--json", action="store_true", help="one JSON object, for programs")
    for word, said in (
        ("disable", "let nobody in under it: sessions end, tokens are of no use"),
        ("enable", "let it be used again"),
        ("reset", "forget passphrase and second factors; prints a new one-time link"),
        ("link", "print a new one-time link; the one before is void"),
    ):
        words.add_parser(word, help=said).add_argument("login", help="of the account")
    roles = words.add_parser("roles", help="replace its roles")
    roles.add_argument("login", help="of the account")
    roles.add_argument("role", nargs="+", help="all it is to have; `vna role list` shows them")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Change or show accounts."""
    if args.act == "add" and args.service and not args.role:
        args.role = [SERVICE]
    with at_work(settings, "user") as archive:
        _act(args, archive)
    return 0


def _act(args: argparse.Namespace, archive: Archive) -> None:
    accounts, who = archive.engines.people.accounts, shell()
    match args.act:
        case "add":
            _add(args, archive)
        case "certificate":
            _certify(args, archive)
        case "list":
            _show(accounts.all(who), as_json=args.json)
        case "disable":
            accounts.disable(who, args.login)
        case "enable":
            accounts.enable(who, args.login)
        case "reset":
            links.show(archive.settings, args.login, accounts.reset(who, args.login))
        case "link":
            links.show(archive.settings, args.login, accounts.invite(who, args.login))
        case "roles":
            accounts.give_roles(who, args.login, args.role)
        case unknown:
            raise ConfigError(f"There is no `vna user {unknown}`.")


def _add(args: argparse.Namespace, archive: Archive) -> None:
    people, who = archive.engines.people, shell()
    of_service = args.subject or args.certificate
    if (of_service and not args.service) or (args.sso and args.service):
        raise ConfigError("--sso is for people, --subject and --certificate for a service.")
    if PATIENT in args.role:  # one made here would be nobody's: a code of the desk says whose
        raise ConfigError("Patients get their account by a code of the desk: /study/UID/account.")
    people.accounts.add(who, args.login, args.role, kind=SERVICE if args.service else PERSON)
    if args.certificate:
        _certify(args, archive)
    if args.subject:
        people.federation.name(who, args.login, args.subject)
        print(f"added {args.login}; jwt.issuer calls it {args.subject}")
    elif args.sso:
        people.federation.expect(who, args.login)
        print(f"added {args.login}, who signs in at the identity provider")
    elif args.service and not args.certificate:
        print(f"added {args.login}; `vna token add {args.login} NAME` lets it in")
    elif not args.service:
        links.show(archive.settings, args.login, people.accounts.invite(who, args.login))


def _certify(args: argparse.Namespace, archive: Archive) -> None:
    try:
        certificate = args.certificate.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{args.certificate} cannot be read: {exc.strerror}.") from exc
    certificates = archive.engines.people.certificates
    found = certificates.name(shell(), args.login, certificate)
    print(f"{args.login} is who shows the certificate {found}")


def _show(accounts: list[Account], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "login": a.login,
                "kind": a.kind,
                "state": a.state,
                "roles": a.roles,
                "app": a.has_totp,
                "passkeys": a.passkeys,
                "recovery_codes": a.recovery_codes,
            }
            for a in accounts
        ]
        print(json.dumps(rows, indent=2))
        return
    for a in accounts:
        factors = [*(["app"] if a.has_totp else []), *(["passkey"] if a.passkeys else [])]
        said = f"{a.kind}, {a.state}: {' '.join(a.roles)}"
        print(f"{a.login:<20}  {said}{', with ' + ' and '.join(factors) if factors else ''}")
    if not accounts:
        print("no account; `vna init` makes the first administrator", file=sys.stderr)
