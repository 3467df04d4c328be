"""`vna init`: everything an archive needs, made where it is missing."""

from __future__ import annotations

import argparse

from vna import app
from vna.cli import links
from vna.cli.shell import shell
from vna.config import Settings
from vna.db import runlock
from vna.db.place import make_data


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Makes the data folder, the root key, the blob store with its archive key, the PostgreSQL "
        "cluster, the schema and a TLS certificate, and brings the schema up to date. What is "
        "there is left as it is, so it may be run again at any time. Prints the one-time link of "
        "the first administrator until somebody has come by one."
    )


def run(args: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 -- there are no arguments
    """Make what is missing and say what it was."""
    fresh = not settings.data.is_dir()
    make_data(settings.data)
    with runlock.held(settings.data, "init", exclusive=False) as is_alone:
        made = [f"data folder {settings.data}"] if fresh else []
        made += app.found(settings)
        with app.index_of(settings) as index:
            made += app.found_index(settings, index, is_served=not is_alone)
            for line in made or [f"nothing to do: the archive in {settings.data} is complete"]:
                print(line)
            with app.opened(settings, index.dsn) as archive:
                first = archive.engines.people.accounts.first_link(shell())
    if first is not None:
        links.show(settings, *first)
    return 0
