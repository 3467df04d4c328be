"""`vna messages`: a test through a real relay, the list, trying again, and bounces from a pipe."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Vna
from tests.delivery.relay import Relay, authority, relaying
from tests.delivery.test_bounces import bounce
from tests.flows.serving import ROOT


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[tuple[Relay, Path]]:
    """A relay, and the settings that lead to it."""
    ca, trusted = authority(tmp_path)
    with relaying(ca) as relay:
        config = tmp_path / "vna.toml"
        config.write_text(
            f'[mail]\nhost = "127.0.0.1"\nport = {relay.port}\nca = "{trusted}"\n'
            'sender = "images@example.org"\ntimeout_s = 10.0\n'
        )
        yield relay, config


@pytest.mark.usefixtures("held")
def test_a_test_message_goes_out_comes_back_and_is_listed(
    vna: Vna, archive: Path, relay: tuple[Relay, Path]
) -> None:
    office, config = relay
    at = ("--data", archive, "--config", config)
    done = vna("messages", "test", "kim.canary@example.org", *at)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "message 1 to k…@example.org: accepted, 250 2.0.0\n"
    assert office.mails[0].message["Subject"] == "Test message"
    back = subprocess.run(
        [sys.executable, "-m", "vna", "messages", "bounce", *map(str, at)],
        input=bounce(to=office.mails[0].sender),
        cwd=ROOT,
        capture_output=True,
    )
    assert back.stdout == b"bounce noted\n", back.stderr
    listed = vna("messages", "list", "--state", "bounced", *at).stdout
    assert re.search(r"1 +k…@example.org +test +bounced +1 +bounced +550 5.1.1", listed)
    assert "canary" not in listed


@pytest.mark.usefixtures("held")
def test_what_failed_is_listed_with_its_cause_and_tried_again(
    vna: Vna, archive: Path, relay: tuple[Relay, Path]
) -> None:
    office, config = relay
    at = ("--data", archive, "--config", config)
    office.to_rcpt = "451 4.7.1 come again"
    done = vna("messages", "test", "kim@example.org", *at)
    assert done.returncode == 1
    assert done.stdout == "message 1 to k…@example.org: failed, not-now, 451 4.7.1\n"
    assert vna("messages", "retry", "--all", *at).stdout == "1 messages wait to be sent\n"
    assert vna("messages", "retry", "1", *at).returncode == 1  # it waits already
    assert "no messages" in vna("messages", "list", "--state", "dead", *at).stdout
    assert vna("messages", "retry", "7", *at).returncode == 1


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("to", "section"), [("kim@example.org", "[mail]"), ("+44 20 7946 0018", "[sms]")]
)
def test_without_a_way_out_the_settings_to_look_at_are_named(
    vna: Vna, archive: Path, to: str, section: str
) -> None:
    done = vna("messages", "test", to, "--data", archive)
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.endswith("dead, not-set-up")
    assert second.startswith(f"{section} of the settings names no way out")


@pytest.mark.parametrize("to", ["kim", "kim@"])
def test_what_is_no_address_is_refused_before_anything_is_opened(
    vna: Vna, tmp_path: Path, to: str
) -> None:
    done = vna("messages", "test", to, "--data", tmp_path / "none")
    assert done.returncode == 1
    assert "is written" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("held")
def test_a_webhook_is_added_listed_and_removed(
    vna: Vna, archive: Path, relay: tuple[Relay, Path]
) -> None:
    at = ("--data", archive)
    done = vna("webhook", "add", "https://93.184.216.34/hook", "--event", "grant.opened", *at)
    assert re.fullmatch(r"webhook 1, .* key [\w-]{43}\n", done.stdout), done.stderr
    assert vna("webhook", "list", *at).stdout == "1  93.184.216.34  grant.opened\n"
    assert vna("webhook", "add", "https://127.0.0.1/", *at).returncode == 1
    assert vna("webhook", "remove", "1", *at).returncode == 0
    assert vna("webhook", "list", *at).stdout == ""
