"""Where files of imports come in, from whatever door."""

from __future__ import annotations

from vna.access.principal import Principal
from vna.imports.keeping import Into, Keeping, Sent, Terms
from vna.imports.taking import Taking
from vna.imports.values import Taken


class Intake:
    """Takes files for imports. One a process, shared by its threads."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping

    def known(self, number: int, mark: str) -> Taken | None:
        """Say what became of a file that came before; None when it did not come."""
        return self._keeping.known(number, mark)

    def take(
        self,
        who: Principal,
        number: int,
        *,
        name: str,
        mark: str | None,
        digest: bytes | None,
        terms: Terms | None = None,
    ) -> Taking:
        """Begin to take a file. `digest` is the SHA-256 its sender says it has.

        Raises `NotFound`, `Conflict` when the import takes no more, `TooLarge`, `Unavailable`.
        """
        terms = terms or self._keeping.terms()
        into = Into(who=who, number=number, batch=self._keeping.open(number), terms=terms)
        self._keeping.require_room(number, terms)
        return Taking(self._keeping, into, Sent(name, mark, digest))
