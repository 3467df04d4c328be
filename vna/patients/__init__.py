"""Whom studies are about: identities by issuer, and which of them are one person. Not who asks."""
