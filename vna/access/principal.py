"""Principal, Scope and Action: who asks, what they may see, what they want. Pure values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from vna.dicom.refs import UID, InstanceRef, Ref, SeriesRef, StudyRef, Within


class Action(enum.Enum):
    """What can be asked of the archive; roles grant these."""

    STORE = "store"
    QUERY = "query"
    RETRIEVE = "retrieve"
    RETRIEVE_VERSION = "retrieve-version"
    COMMIT = "commit"
    DELETE = "delete"
    SHARE = "share"
    SHARE_OWN = "share-own"  # what shows oneself, by an account of one's own
    CORRECT = "correct"
    IMPORT = "import"
    UPLOAD = "upload"
    VERIFY = "verify"
    MANAGE = "manage"
    ACCOUNTS = "accounts"
    AUDIT = "audit"
    MONITOR = "monitor"
    LABEL = "label"
    HOLD = "hold"
    CARE = "care"
    EMERGENCY = "emergency"
    AGREE = "agree"


class Label(enum.Enum):
    """Why a study is withheld from those whose role does not clear them for it."""

    SENSITIVE = "sensitive"
    EMBARGOED = "embargoed"
    DISPUTED = "disputed"


class Kind(enum.Enum):
    """What sort of asker a principal is."""

    DEVELOPER = "developer"  # `--dev`: may do all
    SYSTEM = "system"  # the archive's own work: recovery, reindex, import at the shell
    AE = "ae"
    PERSON = "person"
    SERVICE = "service"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of the archive a principal may see: everything, or a union of the parts named.

    `studies` are whole studies, `series` and `instances` are narrower; `everything` overrides them.
    Studies in `withheld` are not seen, whatever else is said; those in `lent` are seen whole all
    the same, for a while: to be looked at, and for nothing else (`policy.reach`).
    """

    everything: bool = False
    studies: frozenset[UID] = frozenset()
    series: frozenset[SeriesRef] = frozenset()
    instances: frozenset[InstanceRef] = frozenset()
    withheld: frozenset[UID] = frozenset()
    lent: frozenset[UID] = frozenset()

    def is_whole_studies(self) -> bool:
        """Whether the scope never cuts a study in two, so that stored counts are its own."""
        return self.everything or not (self.series or self.instances)

    def within(self) -> Within | None:
        """The scope as the index takes it; None is the whole archive."""
        out = self.withheld - self.lent
        if self.everything:
            return Within(without=out) if out else None
        return Within(
            (self.studies - out) | self.lent,
            frozenset(ref for ref in self.series if ref.study not in out),
            frozenset(ref for ref in self.instances if ref.study not in out),
        )

    def covers(self, ref: Ref) -> bool:
        """Whether all of `ref` lies inside the scope."""
        if ref.study in self.lent:
            return True
        if ref.study in self.withheld:
            return False
        if self.everything or ref.study in self.studies:
            return True
        if isinstance(ref, StudyRef):
            return False
        if SeriesRef(ref.study, ref.series) in self.series:
            return True
        return isinstance(ref, InstanceRef) and ref in self.instances

    def touches(self, ref: Ref) -> bool:
        """Whether any of `ref` lies inside the scope."""
        if self.covers(ref):
            return True
        if ref.study in self.withheld:
            return False
        if isinstance(ref, StudyRef):
            return any(s.study == ref.study for s in self.series | self.instances)
        return isinstance(ref, SeriesRef) and any(
            (i.study, i.series) == (ref.study, ref.series) for i in self.instances
        )


EVERYTHING = Scope(everything=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. A share, a clinician, a modality and a job are all one of these.

    `name` is what audit writes down: an account, an AE title, a job; never a patient's data.
    `clearances` are the labels that withhold nothing from it.
    """

    kind: Kind
    name: str
    actions: frozenset[Action]
    scope: Scope = field(default=EVERYTHING)
    address: str | None = None
    clearances: frozenset[Label] = frozenset()


def developer(name: str = "dev", *, address: str | None = None) -> Principal:
    """The one principal of `vna serve --dev`: it may do all."""
    return Principal(
        kind=Kind.DEVELOPER,
        name=name,
        actions=frozenset(Action),
        scope=EVERYTHING,
        address=address,
        clearances=frozenset(Label),
    )


def system(name: str) -> Principal:
    """The archive acting for itself, under the name of the work it does."""
    return Principal(
        kind=Kind.SYSTEM,
        name=name,
        actions=frozenset(Action),
        scope=EVERYTHING,
        clearances=frozenset(Label),
    )
