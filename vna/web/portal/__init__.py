"""Pages for people, made on the server: what they show comes from the engines, as for DICOMweb.

This room must not know how an object is stored or a protocol other than HTTP.
"""

from vna.web.portal import numbers

__all__ = ["numbers"]  # what an address may carry is settled before any route is written
