"""The one error tree: every floor raises from it, both edges translate it, each in one table.

The text of an error is one sentence that may be shown to a peer. It names what was wrong and what
was expected; UIDs may stand in it, a patient's data never. The docstring is the default text.

    VNAError
     |- ConfigError                    start-up only; exit code 2
     |- InvalidRequest                 the asker's fault, ours to explain
     |   |- InvalidUID  InvalidQuery  MalformedInstance  MalformedMultipart
     |- NotAuthenticated
     |   |- NotProven                  signed in, but the second factor was shown too long ago
     |- NotPermitted
     |- TooMany                        tries to sign in; to be slowed down
     |- NotFound
     |- Gone
     |- Conflict                       well formed, but it contradicts what is kept
     |- NotAcceptable                  no representation both sides accept
     |   |- Undecodable               pixels that cannot be decoded, or not within the limits
     |- UnsupportedMedia
     |- TooLarge
     |- Unavailable                    retryable: database, blob store, remote, full disk
     |   |- Contended                  lost to another transaction; undone, to be tried again
     |   |- CommitUnknown              the connection was lost while a transaction was committed
     |- Corrupt                        authentication tag or digest wrong; not retried
         |- WrongKey
"""

from __future__ import annotations


class VNAError(Exception):
    """The archive could not do this."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class ConfigError(VNAError):
    """The configuration is not usable."""


class InvalidRequest(VNAError):
    """The request is not well formed."""


class InvalidUID(InvalidRequest):
    """A UID must be 1 to 64 characters of digits and dots."""


class InvalidQuery(InvalidRequest):
    """The query is not well formed."""


class MalformedInstance(InvalidRequest):
    """The bytes are not a DICOM data set this archive can read."""


class MalformedMultipart(InvalidRequest):
    """The body is not well-formed multipart/related."""


class NotAuthenticated(VNAError):
    """Sign in to go on."""


class NotProven(NotAuthenticated):
    """Show a second factor again to go on."""


class NotPermitted(VNAError):
    """This is not permitted."""


class TooMany(VNAError):
    """There were too many tries; wait a quarter of an hour."""


class NotFound(VNAError):
    """There is nothing here under that name."""


class Gone(NotFound):
    """What was here has been deleted."""


class Conflict(VNAError):
    """The request contradicts what the archive holds."""


class NotAcceptable(VNAError):
    """No representation that both sides accept."""


class Undecodable(NotAcceptable):
    """The pixels of this instance cannot be decoded."""


class UnsupportedMedia(VNAError):
    """The content type is not one this resource takes."""


class TooLarge(VNAError):
    """A limit of the archive was passed."""


class Unavailable(VNAError):
    """The archive cannot do this now; try again later."""


class Contended(Unavailable):
    """The index database is busy with the same records; try again."""


class CommitUnknown(Unavailable):
    """Whether the change was made is not known; ask before trying again."""


class Corrupt(VNAError):
    """Stored bytes do not verify; they are not served."""


class WrongKey(Corrupt):
    """The key does not open this."""
