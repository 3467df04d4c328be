"""Why pixels cannot be had: raised in the sandbox, told to the parent as one letter.

What comes out of a sandbox is never shown to anyone: the parent has the sentences.
"""

from __future__ import annotations

from vna.errors import TooLarge, Undecodable, VNAError


class Fault(Exception):
    """The pixels cannot be had."""

    code = b"?"
    error: type[VNAError] = Undecodable
    text = "The pixels of this instance cannot be decoded."


class Damaged(Fault):
    """The stream is not what its Transfer Syntax says."""

    code = b"D"
    text = "The stored pixels are damaged: they cannot be decoded."


class Mismatch(Fault):
    """The stream holds another picture than the instance describes."""

    code = b"M"
    text = "The stored pixels are of another size or form than the instance says."


class Unknown(Fault):
    """There is no codec, or no way to show such pixels."""

    code = b"U"
    text = "Pixels of this kind cannot be decoded."


class OutOfMemory(Fault):
    """More memory was needed than the sandbox has."""

    code = b"O"
    error = TooLarge
    text = "These pixels need more memory than `pixels.memory_bytes` allows."


class Unencodable(Fault):
    """The values do not fit what was asked for."""

    code = b"E"
    text = "These pixels cannot be given in the form that was asked for."


FAULTS: dict[bytes, type[Fault]] = {
    fault.code: fault for fault in (Fault, Damaged, Mismatch, Unknown, OutOfMemory, Unencodable)
}
