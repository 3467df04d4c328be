"""Settings: frozen values by subject, with their defaults; `vna.loading` reads them.

conf/vna.toml is the reference: every field below stands there with its unit and reason, and a test
holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vna.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What holds for the place the archive serves."""

    issuer: str = "LOCAL"
    timezone: str = "UTC"
    name: str = "Medical image archive"
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """The HTTP edge and its limits."""

    listen: str = "127.0.0.1:8080"
    workers: int = 0
    request_line_bytes: int = 8192
    header_bytes: int = 65536
    header_s: float = 10.0
    body_idle_s: float = 30.0
    slowest_bytes_s: int = 1024
    keep_alive_s: float = 75.0
    connections: int = 1000
    connections_per_address: int = 64
    strict_accept: bool = False
    cors_origins: str = ""
    proxies: str = ""
    client_certificate: str = ""
    threads: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dicom:
    """The DIMSE edge and its limits."""

    listen: str = "127.0.0.1:11112"
    plain_anywhere: bool = False
    tls_listen: str = ""
    identities: str = ""
    ae_title: str = "VNA"
    workers: int = 0
    max_pdu_bytes: int = 131072
    max_associate_bytes: int = 65536
    associations: int = 500
    associations_per_ae: int = 50
    associations_per_address: int = 20
    artim_s: float = 15.0
    idle_s: float = 60.0
    slowest_bytes_s: int = 1024
    response_s: float = 60.0
    unknown_storage: bool = True
    called_ae_any: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificates and keys, and whom they are asked of."""

    certificate: str = ""
    key: str = ""
    ca: str = ""
    clients: str = "required"
    profile: str = "bcp195"
    verify_host: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who is let in, and for how long."""

    roles: str = ""
    idle_s: float = 900.0
    session_s: float = 28800.0
    link_s: float = 86400.0
    token_days: float = 366.0
    ae_clears: str = "embargoed,disputed"
    privacy_mail: str = ""
    studies_an_hour: int = 200
    of_age: int = 18
    carer_days: int = 366
    hold_hours: float = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """Signing in at an identity provider, by OpenID Connect."""

    issuer: str = ""
    client_id: str = ""
    client_secret_file: str = ""
    shown_as: str = "your organisation's account"
    login_claim: str = "preferred_username"
    roles_claim: str = ""
    roles_of: str = ""
    acr: str = ""
    provision: bool = False
    ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt:
    """Bearer tokens of an issuer: JSON Web Tokens that programs bring."""

    issuer: str = ""
    audience: str = ""
    jwks: str = ""
    scope_prefix: str = ""
    ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Syslog:
    """Where the audit trail is sent to."""

    to: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is checked before memory is taken."""

    object_bytes: int = 4 << 30
    request_bytes: int = 32 << 30
    parts: int = 10_000
    part_headers: int = 128
    part_header_bytes: int = 8192
    nesting: int = 32
    elements: int = 1_000_000
    meta_group_bytes: int = 65536
    head_bytes: int = 1 << 20
    inflate_ratio: int = 200
    inflate_bytes: int = 2 << 30
    json_bytes: int = 256 << 20
    metadata_bytes: int = 16 << 20
    posted_metadata_bytes: int = 16 << 20
    search_rows: int = 1000
    find_rows: int = 1_000_000
    search_s: float = 5.0
    ranges: int = 8
    retrieve_instances: int = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """Where the index lives."""

    url: str = ""
    schema: str = "vna"
    os_user: str = ""
    connections: int = 10
    statement_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Blobs:
    """Where the sealed objects live."""

    url: str = ""
    free_bytes: int = 2 << 30
    free_percent: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """How often every blob is read again, and how fast."""

    days: float = 30.0
    bytes_s: int = 20_000_000
    object_stores: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where the root key comes from."""

    root: str = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What happens to other content under a known SOP Instance UID."""

    answer: str = "warning"
    policy: str = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """How objects enter."""

    adopt_s: float = 3600.0
    digest_received: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """What comes in on discs, by links and from guests, and how long it waits."""

    keep_days: float = 30.0
    bytes: int = 64 << 30
    files: int = 100_000
    container_bytes: int = 16 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Guests:
    """What guests may send to guests."""

    enabled: bool = False
    items: int = 5
    bytes: int = 4 << 30
    keep_days: float = 14.0
    daily: int = 20
    domains: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How what is deleted goes."""

    grace_days: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """What staff corrected."""

    outgoing: str = "corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patients:
    """Which patients are one person."""

    identifying: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """Storage Commitment by DICOMweb."""

    instances: int = 20_000
    body_bytes: int = 8 << 20
    ready_bytes: int = 64 << 20
    keep_days: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What is given on by links, and for how long."""

    url: str = ""
    listen: str = ""
    workers: int = 1
    database_url: str = ""
    patient_days: float = 90.0
    other_days: float = 30.0
    most_days: float = 366.0
    most_items: int = 50_000
    idle_s: float = 1800.0
    session_s: float = 28800.0
    settle_s: float = 120.0
    urgent_s: float = 15.0
    night_from: int = 22
    night_to: int = 6
    kiosk_s: float = 1800.0
    morning_mail: str = ""
    remind_days: float = 7.0
    own_per_day: int = 20
    answer_days: float = 10.0
    tell_patient: bool = True
    second_person: str = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """The sandboxed processes that decode and render pixels, and their limits."""

    children: int = 0
    memory_bytes: int = 2 << 30
    frame_bytes: int = 512 << 20
    wall_s: float = 30.0
    processor_s: float = 30.0
    cache_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Work for later: how much at a time, how often again."""

    workers: int = 4
    lease_s: float = 60.0
    first_retry_s: float = 10.0
    last_retry_s: float = 3600.0
    give_up_s: float = 259_200.0
    report_s: float = 3600.0
    keep_days: float = 30.0
    gather_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The relay that mails go through."""

    host: str = ""
    port: int = 587
    security: str = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""
    bounces: str = ""
    ca: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sms:
    """The gateway that short messages go through."""

    provider: str = ""
    url: str = "https://api.twilio.com"
    account: str = ""
    secret: str = field(default="", repr=False)
    sender: str = ""
    callback: str = ""
    countries: str = ""
    timeout_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """Which other programs the archive calls by HTTP."""

    allow: str = ""
    ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discs:
    """Images of discs."""

    bytes: int = 8_500_000_000
    pictures: int = 300
    keep_days: float = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged."""

    level: str = "INFO"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one archive."""

    data: Path = Path("var")
    dev: bool = False
    site: Site = field(default_factory=Site)
    http: Http = field(default_factory=Http)
    dicom: Dicom = field(default_factory=Dicom)
    tls: Tls = field(default_factory=Tls)
    access: Access = field(default_factory=Access)
    oidc: Oidc = field(default_factory=Oidc)
    jwt: Jwt = field(default_factory=Jwt)
    syslog: Syslog = field(default_factory=Syslog)
    limits: Limits = field(default_factory=Limits)
    postgres: Postgres = field(default_factory=Postgres)
    blobs: Blobs = field(default_factory=Blobs)
    scrub: Scrub = field(default_factory=Scrub)
    keys: Keys = field(default_factory=Keys)
    versions: Versions = field(default_factory=Versions)
    ingest: Ingest = field(default_factory=Ingest)
    imports: Imports = field(default_factory=Imports)
    guests: Guests = field(default_factory=Guests)
    deletion: Deletion = field(default_factory=Deletion)
    corrections: Corrections = field(default_factory=Corrections)
    patients: Patients = field(default_factory=Patients)
    commitment: Commitment = field(default_factory=Commitment)
    sharing: Sharing = field(default_factory=Sharing)
    pixels: Pixels = field(default_factory=Pixels)
    jobs: Jobs = field(default_factory=Jobs)
    mail: Mail = field(default_factory=Mail)
    sms: Sms = field(default_factory=Sms)
    outbound: Outbound = field(default_factory=Outbound)
    discs: Discs = field(default_factory=Discs)
    log: Log = field(default_factory=Log)


def address(listen: str) -> tuple[str, int]:
    """Split `HOST:PORT` (IPv6 in brackets), the first of several. Raises `ConfigError`."""
    listen = listen.split(",", maxsplit=1)[0].strip()
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"An address is written HOST:PORT, not {listen!r}.")
    return host.strip("[]"), int(port)


def addresses(listen: str) -> list[str]:
    """Take apart a list of `HOST:PORT` separated by commas; an empty text is none."""
    return [one.strip() for one in listen.split(",") if one.strip()]
