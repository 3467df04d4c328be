"""Sites for tests of patients' own pages: who they are, and what the archive holds of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import TestPostgres
from tests.factories import Instance
from tests.web.conftest import Site, serving

BORN = {"PatientBirthDate": "19700101", "PatientSex": "F"}


@contextmanager
def hospital(
    postgres: TestPostgres, folder: Path, *held: Instance, **settings: Any
) -> Iterator[Site]:
    """Serve an archive people sign in at, which holds these instances."""
    name = {"name": "Example Hospital", "help": "Imaging desk"}
    with serving(postgres, folder, dev=False, site=name, **settings) as found:
        for one in held:
            found.archive.take(one.part10())
        yield found


def without_limits(site: Site) -> None:
    """Forget what was counted against limits: every test begins anew."""
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")
