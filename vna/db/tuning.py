"""The server's configuration files, written anew at each start.

A person's own settings go into ALTER SYSTEM or the end of postgresql.conf: both win over ours.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vna.db import guest_role
from vna.db.account import GUESTS, Account

INCLUDE = "\ninclude_if_exists = 'vna.conf'\n# your own settings: below this line\n"

_HBA = """# Over the socket only, and only OS users that pg_ident.conf names. There is no trust.
local all         all peer map=vna
local replication all peer map=vna
"""

_FIXED = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0777",  # who may enter is settled by peer, in pg_hba.conf
    "max_connections": "300",
    "password_encryption": "scram-sha-256",
    # what is acknowledged is on the disk
    "full_page_writes": "on",
    "wal_level": "replica",
    "wal_compression": "pglz",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # short queries: compiling them costs more than it saves
    "jit": "off",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "32",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "io_workers": "2",
    "max_logical_replication_workers": "0",
    # narrow rows that count instances are updated all day: clean them early and in small steps
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.02",
    "autovacuum_vacuum_cost_limit": "1000",
    # no value of a statement may reach the log: it could be a patient's
    "logging_collector": "on",
    "log_filename": "'postgresql-%a.log'",
    "log_truncate_on_rotation": "on",
    "log_rotation_size": "0",
    "log_line_prefix": "'%m [%p] %a '",
    "log_timezone": "'UTC'",
    "timezone": "'UTC'",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}


def write(files: Path, account: Account, *, durable: bool) -> None:
    """Write vna.conf, pg_hba.conf and pg_ident.conf into the cluster."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    values = _FIXED | {
        "shared_buffers": f"{min(max(memory // 8, 128), 1024)}MB",
        "effective_cache_size": f"{max(memory // 2, 256)}MB",
        "fsync": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
    }
    if sys.platform == "linux":  # elsewhere the server refuses it
        # who was killed in the middle of a long statement is not waited for by the next one
        values["client_connection_check_interval"] = "2s"
    lines = ["# Written by vna at each start; see the end of postgresql.conf for your own."]
    lines += [f"{name} = {value}" for name, value in values.items()]
    _put(files / "vna.conf", "\n".join(lines) + "\n", account)
    _put(files / "pg_hba.conf", _HBA, account)
    _put(files / "pg_ident.conf", _ident(account), account)


def _ident(account: Account) -> str:
    """Map the service's user, and root, who can become it anyway, to the roles of the archive."""
    users, roles = sorted({"root", account.name}), ("vna", "postgres", guest_role.ROLE)
    lines = [f"vna {user} {role}\n" for user in users for role in roles]
    # the process that serves guests, where it is an OS user of its own: one role, and no other
    return "".join([*lines, f"vna {GUESTS} {guest_role.ROLE}\n"])


def _put(path: Path, text: str, account: Account) -> None:
    """Replace a file by a new one, so that a link planted there is never written through."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(handle, "w", encoding="utf-8") as out:
        if account.switch():
            os.fchown(handle, account.uid, account.gid)
        out.write(text)
    part.replace(path)
