"""Who sits at the shell: whoever can read the root key may do all, under a name for the trail."""

from __future__ import annotations

import os
import pwd

from vna.access.principal import Principal, system


def shell(command: str = "shell") -> Principal:
    """Name the person at the shell by their account on this machine, behind what they run.

    By what the kernel says: LOGNAME says whatever somebody put there, and a container's user may
    have no name at all.
    """
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return system(f"{command}:{name}")
