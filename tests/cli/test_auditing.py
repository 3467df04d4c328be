"""`vna audit` on an archive: the whole trail, a row tampered with, and what is written out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring

from tests.cli.conftest import Vna
from tests.factories import ct
from vna.access.audit import Event
from vna.access.principal import system
from vna.app import at_work
from vna.loading import load


@pytest.mark.usefixtures("held")
def test_the_trail_of_an_archive(vna: Vna, archive: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.dcm"
    data_set = ct(patient_id="PAT-1")
    file.write_bytes(data_set.part10())
    study = data_set.study
    assert vna("import", "--data", archive, file).returncode == 0
    with at_work(load(None, flags={"data": archive}), "test") as at_hand:
        assert at_hand.sealer.seal() > 0
        assert at_hand.sealer.checkpoint()
        whole = vna("audit", "verify", "--data", archive)
        assert whole.returncode == 0, whole.stdout
        assert "the trail is whole" in whole.stdout

        found = vna("audit", "search", "--data", archive, "--study", study, "--json")
        (line,) = [json.loads(text) for text in found.stdout.splitlines()]
        assert line["row"]["kind"] == "instance.stored"
        prev = bytes.fromhex(line["seal"]["prev_hash"])
        made = hashlib.sha256(prev + line["event"].encode()).hexdigest()
        assert made == line["seal"]["hash"]
        told = vna("audit", "search", "--data", archive, "--kind", "instance").stdout
        assert study in told

        dicom = vna("audit", "export", "--data", archive, "--format", "dicom", "--study", study)
        (message,) = dicom.stdout.splitlines()
        assert fromstring(message).find("EventIdentification/EventID").get("csd-code") == ("110104")
        assert "PAT-1" in message
        fhir = vna("audit", "export", "--data", archive, "--format", "fhir", "--study", study)
        assert json.loads(fhir.stdout)["resourceType"] == "AuditEvent"
        lines = vna("audit", "export", "--data", archive, "--from", "2020-01-01").stdout
        assert json.loads(lines.splitlines()[0])["seal"]["seal_seq"] == 1

        assert vna("audit", "disclosures", "--data", archive, "PAT-1").returncode == 0
        assert vna("audit", "disclosures", "--data", archive, "PAT-2").returncode == 1

        nobody = vna("audit", "affected", "--data", archive, "--principal", "nobody")
        assert nobody.stdout == "0 patients\n"
        event = Event(kind="read", outcome="done", study=study)
        gone = Event(kind="read", outcome="done", study="9.9")
        with at_hand.database.transaction() as tx:
            at_hand.audit.write(tx, system("carol"), [event, gone])
        carol = ("audit", "affected", "--data", archive, "--principal", "carol")
        shown = vna(*carol).stdout
        assert "PAT-1^^^LOCAL" in shown
        assert shown.endswith("1 patients, and 1 studies that are no longer held\n")
        told = json.loads(vna(*carol, "--json").stdout)
        assert [(one["patient"], one["studies"]) for one in told] == [
            (None, ["9.9"]),
            ({"patient_id": "PAT-1", "issuer": "LOCAL"}, [study]),
        ]

        verdict = json.loads(vna("audit", "verify", "--data", archive, "--json").stdout)
        assert verdict["findings"] == []
        (name,) = (archive / "blobs" / "a").rglob("*.json")
        name.write_text(name.read_text().replace("hash", "hush"))
        broken = vna("audit", "verify", "--data", archive)
        assert broken.returncode == 1
        assert "checkpoint" in broken.stdout


def test_times_that_make_no_sense_are_told(vna: Vna, standing: Path) -> None:
    done = vna("audit", "search", "--data", standing, "--from", "2026-02-01", "--to", "2026-01-01")
    assert (done.returncode, done.stdout) == (2, "")
