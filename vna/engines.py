"""The counter: one value that names the engines, which is all the edges know of the archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vna.access.peers import Peers
from vna.access.people import People
from vna.access.remotes import Remotes
from vna.access.routes import Routes
from vna.access.trail import Trail
from vna.config import Settings
from vna.delivery.messages import Messages
from vna.imports.engine import ImportEngine
from vna.ingest.engine import IngestEngine
from vna.operate.carers import CarerEngine
from vna.operate.changes import ChangeFeed
from vna.operate.commitment import CommitmentEngine
from vna.operate.corrections import CorrectionEngine
from vna.operate.holds import HoldEngine
from vna.operate.identities import IdentityEngine
from vna.operate.labels import LabelEngine
from vna.operate.lifecycle import LifecycleEngine
from vna.operate.patient_accounts import PatientAccounts
from vna.operate.pushes import CommitmentPushes
from vna.operate.transactions import CommitmentTransactions
from vna.query.engine import QueryEngine
from vna.retrieve.disc import DiscEngine
from vna.retrieve.engine import RetrieveEngine
from vna.retrieve.render import RenderEngine
from vna.sharing.engine import SharingEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """What an edge is given. One a process, shared by its threads.

    `check` returns when the archive can work and raises `Unavailable`, saying why, when it cannot:
    it asks the database, so it may take as long as a connection does.
    """

    ingest: IngestEngine
    imports: ImportEngine
    query: QueryEngine
    retrieve: RetrieveEngine
    render: RenderEngine
    discs: DiscEngine
    remotes: Remotes
    peers: Peers
    routes: Routes
    commitment: CommitmentEngine
    transactions: CommitmentTransactions
    pushes: CommitmentPushes
    lifecycle: LifecycleEngine
    corrections: CorrectionEngine
    identities: IdentityEngine
    changes: ChangeFeed
    labels: LabelEngine
    holds: HoldEngine
    people: People
    trail: Trail
    messages: Messages
    sharing: SharingEngine
    patient_accounts: PatientAccounts
    carers: CarerEngine
    settings: Settings
    check: Callable[[], None]
