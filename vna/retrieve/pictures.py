"""The images of a study or series as plain JPEG pictures in one ZIP file, for people to keep.

Rendered in the sandbox as they go out; never held as a whole, never on a disk. A picture is lossy:
a README in the file says what it is not good for. File names are numbers, as on a disc.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vna.access.principal import Principal
from vna.index.locate import Located
from vna.retrieve.package import Entry, file_names, packed
from vna.retrieve.payload import Buffer, ready
from vna.retrieve.render import RenderEngine
from vna.retrieve.wish import Wish

_JPEG = Wish(media=("image/jpeg",), quality=90)
_README = """PICTURES, NOT FOR DIAGNOSIS

These are pictures of medical images, made for looking at: one of each
image, and of a film the one in the middle. They were compressed, what can
be seen in them was chosen by a program, and nothing can be measured in them.

Whoever treats you needs the original images. They are in the other file
that can be downloaded beside this one, in the DICOM format.

{made} of {count} objects are shown here. What has no image, such as a report,
is not among them.
"""


def pictures(
    engine: RenderEngine, principal: Principal, found: Sequence[Located]
) -> Iterator[Buffer]:
    """Make the ZIP file of what `engine.find` gave. Raises `NotFound` without an image."""
    made = engine.pictures(principal, found, _JPEG)
    names = dict(zip((one.blob_id for one in found), file_names(found), strict=True))

    def entries() -> Iterator[Entry]:
        count, latest = 0, max(located.changed_at for located in found)
        for located, data in made:
            count += 1
            name = "/".join(("PICTURES", *names[located.blob_id][1:]))
            yield Entry(
                name=f"{name}.JPG",
                content=ready(data),
                changed_at=located.changed_at,
                key=located.blob_id,
            )
        told = _README.format(made=count, count=len(found)).replace("\n", "\r\n").encode("ascii")
        yield Entry(name="README.TXT", content=ready(told), changed_at=latest, key=b"readme")

    return packed(entries())
