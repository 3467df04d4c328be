"""What an export says of itself, and whether all of it is there. `vna.backup.leaving` writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vna.backup.manifest import digest_of, read_json
from vna.errors import ConfigError, NotFound

FORMAT = "vna export 1"
SUMMARY, SUMS, TABLE, STUDIES = "export.json", "SHA256SUMS", "instances.csv", "studies.ndjson"


def summary(folder: Path) -> dict[str, Any]:
    """Read which archive it came from; with `ended`, it is complete. Raises `ConfigError`."""
    try:
        found = read_json(folder / SUMMARY)
    except FileNotFoundError:
        raise ConfigError(f"There is no export in {folder}.") from None
    if found.get("format") != FORMAT:
        raise ConfigError(f"The export in {folder} has a format this release does not know.")
    return found


def check(
    folder: Path, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Iterator[tuple[str, str]]:
    """Compare each file with its digest; give what is damaged, and how.

    Raises `NotFound` where there is no complete export.
    """
    said = summary(folder)
    if "ended" not in said:
        raise NotFound(f"The export in {folder} is not complete: run it again, it goes on.")
    listed, wanted = 0, said["instances"] + 2  # and the lists of instances and of studies
    with (folder / SUMS).open("rb") as lines:
        for line in lines:
            digest, _, path = line.decode().rstrip("\n").partition("  ")
            if why := _damage(folder / path, digest):
                yield path, why
            listed += 1
            progress(listed, wanted)
    if listed != wanted:
        yield SUMS, f"names {listed} files and should name {wanted}"


def _damage(path: Path, digest: str) -> str | None:
    try:
        return None if digest_of(path) == digest else "is not what was written"
    except FileNotFoundError:
        return "is missing"
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"
