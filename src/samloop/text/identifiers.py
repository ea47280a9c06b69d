"""Keyed hashes of the identifiers that redaction took out, by which the examples about a person are found again.

Who asks to be forgotten names an address or a number. It stands in no example any more, so that there is nothing to
search for; but a hash of each identifier is kept with the examples it was taken from. The hash is keyed (HMAC, RFC
2104, with SHA-256), because there are few enough telephone numbers to try them all: without the key, which lies in
the home and never in the store, a copy of the store tells nothing. Passwords, tokens and keys say nothing of who
somebody is and are not kept in any form.
"""

from __future__ import annotations

import hmac
from typing import Final

from samloop.text.checks import canonical

PERSONAL: Final = frozenset({"EMAIL", "PHONE", "SSN", "CREDIT_CARD", "IBAN", "IP_ADDRESS", "USER", "NAME"})
"""The types that identify a person."""

DIGEST_CHARACTERS: Final = 32
"""128 bits as hexadecimal: no two identifiers of one store will meet."""


def identifier_digest(key: bytes, kind: str, value: str) -> str:
    """The keyed hash of an identifier; spellings that redaction takes for one value have one hash.

    Args:
        key: of the home, see `Home.identifier_key`.
        kind: one of `PERSONAL`.
    """
    said = f"{kind}\0{canonical(kind, value.strip())}".encode("utf-8", "surrogatepass")
    return hmac.digest(key, said, "sha256").hex()[:DIGEST_CHARACTERS]


def identifier_digests(key: bytes, value: str) -> list[str]:
    """The hashes that `value` has as an identifier of any type: the one who asks need not know of types."""
    return [identifier_digest(key, kind, value) for kind in sorted(PERSONAL)]
