"""`make sbom`: the software bill of materials, CycloneDX 1.5 JSON, from the lock file.

What is locked is what is installed, by hash, so the list is that of any installation of a release.
The same lock file gives the same bytes.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from vna import __version__
from vna.errors import ConfigError

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill(lock: str) -> dict[str, Any]:
    """Make the bill of a lock file. Raises `ConfigError` for one that pins nothing."""
    components: list[dict[str, Any]] = []
    for line in lock.splitlines():
        if (pinned := _PINNED.match(line)) is not None:
            components.append(_component(pinned[1], pinned[2], pinned[3]))
        elif (found := _HASH.search(line)) is not None and components:
            components[-1]["hashes"].append({"alg": "SHA-256", "content": found[1]})
    if not components:
        raise ConfigError("The lock file pins nothing.")
    own = {"type": "application", "bom-ref": "vna", "name": "vna", "version": __version__}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": [{"ref": "vna", "dependsOn": [one["bom-ref"] for one in components]}],
    }


def _component(name: str, version: str, where: str | None) -> dict[str, Any]:
    url = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
        "hashes": [],
    }
    if (licence := _licence(name)) is not None:
        made["licenses"] = [{"license": {"name": licence}}]
    if where is not None:
        made["properties"] = [{"name": "vna:only-where", "value": where}]
    return made


def _licence(name: str) -> str | None:
    """Say what a package says of its licence, as far as it is installed."""
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    fields = found.json  # a message's `get` is not promised of it
    said = str(fields.get("license_expression") or fields.get("license") or "")
    if not said or "\n" in said:
        classes = [c for c in fields.get("classifier", ()) if c.startswith("License ::")]
        said = classes[0].rpartition(":: ")[2] if classes else ""
    return said or None


def main(path: str) -> None:
    """Print the bill of a lock file."""
    print(json.dumps(bill(Path(path).read_text(encoding="utf-8")), indent=2))


if __name__ == "__main__":
    main(sys.argv[1])
