"""What PostgreSQL reports comes out as one of our errors, without its text."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from vna import errors as ours
from vna.db.faults import translate, translating


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", ours.Unavailable),
        ("22P02", ours.InvalidRequest),
        ("23505", ours.Conflict),
        ("23514", ours.Conflict),
        ("25006", ours.Unavailable),
        ("28000", ours.ConfigError),
        ("3D000", ours.ConfigError),
        ("40001", ours.Contended),
        ("40P01", ours.Contended),
        ("42501", ours.ConfigError),
        ("42P01", ours.ConfigError),
        ("53100", ours.Unavailable),
        ("53300", ours.Unavailable),
        ("55P03", ours.Unavailable),
        ("57014", ours.Unavailable),
        ("57P01", ours.Unavailable),
        ("57P03", ours.Unavailable),
        ("58030", ours.Unavailable),
        ("XX001", ours.Corrupt),
        ("XX002", ours.Corrupt),
        ("XX000", ours.VNAError),
        ("42601", ours.VNAError),
    ],
)
def test_each_code_has_its_meaning(state: str, kind: type[ours.VNAError]) -> None:
    found = translate(errors.lookup(state)("Key (patient_id)=(4711) already exists"))
    assert type(found) is kind
    assert "4711" not in str(found)
    assert str(found).endswith(".")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (psycopg.OperationalError("server closed the connection"), ours.Unavailable),
        (psycopg.InterfaceError("the connection is closed"), ours.Unavailable),
        (psycopg.DataError("text fields cannot contain NUL (0x00) bytes"), ours.InvalidRequest),
        (psycopg.ProgrammingError("no result"), ours.VNAError),
    ],
)
def test_errors_without_a_code_are_the_driver_s(
    raised: psycopg.Error, kind: type[ours.VNAError]
) -> None:
    assert type(translate(raised)) is kind


def test_the_cause_is_kept() -> None:
    cause = errors.DiskFull("no space left")
    with pytest.raises(ours.Unavailable) as raised, translating():
        raise cause
    assert raised.value.__cause__ is cause


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("FATAL:  could not write init file: No space left on device", "out of disk space"),
        ("FATAL:  sorry, too many clients already", "connections"),
        (
            "FATAL:  remaining connection slots are reserved for roles with SUPERUSER",
            "connections",
        ),
        ('FATAL:  invalid page in block 1 of relation "base/16385/1249"', "is damaged"),
        ("FATAL:  the database system is starting up", "cannot be reached"),
        ('FATAL:  password authentication failed for user "u16385"', "postgres.url"),
        ('FATAL:  no pg_hba.conf entry for host "10.1.6385", user "vna"', "postgres.url"),
        ('FATAL:  role "vna" is not permitted to log in', "postgres.url"),
        ("fe_sendauth: no password supplied", "postgres.url"),
        ("FATAL:  unsupported startup parameter: options", "pooler"),
    ],
)
def test_why_a_server_lets_nobody_in_is_told_without_its_text(text: str, told: str) -> None:
    found = translate(psycopg.OperationalError(f"connection to server on socket failed: {text}"))
    assert type(found) is ours.Unavailable
    assert told in str(found)
    assert "16385" not in str(found)
