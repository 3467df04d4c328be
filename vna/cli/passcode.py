"""`vna passcode`: hash a passcode, to be written into the file of `dicom.identities`."""

from __future__ import annotations

import argparse
import getpass
import sys

from vna.access.passcodes import hash_passcode
from vna.config import Settings
from vna.errors import ConfigError


def options(parser: argparse.ArgumentParser) -> None:
    """Add no argument: a passcode on a command line would stand in the list of processes."""
    parser.description = (
        "Reads a passcode from the terminal, or a line from standard input, and prints its scrypt "
        "hash: the value of `passcode` of a [[user]] in the file that dicom.identities names."
    )


def run(args: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 -- there are none
    """Read, hash, print."""
    if sys.stdin.isatty():
        passcode = getpass.getpass("passcode: ")
        if getpass.getpass("once more: ") != passcode:
            raise ConfigError("The two are not the same.")
    else:
        passcode = sys.stdin.readline().rstrip("\r\n")
    if not passcode:
        raise ConfigError("A passcode is not empty.")
    print(hash_passcode(passcode))
    return 0
