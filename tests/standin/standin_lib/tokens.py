# SPDX-License-Identifier: MIT
"""Making tokens, and remembering to whom each was issued.

A token looks like the JWT of a Vipps access token (Azure AD v1 claims; developer.vippsmobilepay.com, access-token
API guide, 2023) but its signature is random: nobody under test may look inside, so nobody verifies it.
"""

import base64
import collections
import dataclasses
import hashlib
import json
import os
import secrets
import time
import uuid

REMEMBERED_MAX = 500_000  # tokens; the oldest are forgotten, or a day of benchmarks would fill the memory

# Azure AD dates nbf (and `not_before` in the answer) 300 s back, as the published example of an answer shows:
# expires_on - not_before = 86699 = expires_in + 301.
NOT_BEFORE_LEEWAY = 300

SIGNATURE_BYTES = 255  # 340 base64url characters, a multiple of 4; RS256 itself has 256 bytes


class Clock:
    """The upstream's wall clock. Tests move it instead of waiting for tokens to expire."""

    def __init__(self):
        self.ahead = 0.0  # seconds

    def now(self):
        """Epoch seconds."""
        return time.time() + self.ahead


@dataclasses.dataclass(slots=True)
class Issued:
    """What is remembered of a token: never the token itself, only its hash is the key."""

    client_id: str
    serial: int
    expires_at: float  # epoch seconds of the upstream's clock; what the answer claims may differ by fault


def base64url(data):
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def jwt_shaped(client_id, issued_at, lifetime, length):
    """A JWT-shaped token of exactly `length` characters (at least JWT_LENGTH_MIN of clients.py)."""
    header = base64url(b'{"typ":"JWT","alg":"RS256","kid":"standin-made-up-key"}')
    claims = {
        "aud": "00000002-0000-0000-c000-000000000000",
        "iss": "https://sts.standin.example/e5116926-51ba-4ed3-a0d7-0a6a1b6e5a0b/",
        "iat": int(issued_at),
        "nbf": int(issued_at) - NOT_BEFORE_LEEWAY,
        "exp": int(issued_at) + lifetime,
        "appid": client_id[:64],
        "appidacr": "1",
        "jti": str(uuid.uuid4()),
        "ver": "1.0",
        "fill": "",
    }
    bare = len(json.dumps(claims, separators=(",", ":")))
    room = length - len(header) - 2 - (SIGNATURE_BYTES * 4 + 2) // 3
    signature_bytes = SIGNATURE_BYTES
    if room % 4 == 1:  # no base64 text has 4n+1 characters: take three, give two to the signature and move one
        room -= 3
        signature_bytes += 2  # 340 + 3 characters
    claims["fill"] = secrets.token_hex(room)[: max(0, room * 3 // 4 - bare)]
    payload = base64url(json.dumps(claims, separators=(",", ":")).encode())
    return f"{header}.{payload}.{base64url(os.urandom(signature_bytes))}"


def opaque(charset, length):
    """A token without shape, drawn from `charset`."""
    return "".join(secrets.choice(charset) for _ in range(length))


class Tokens:
    """Every token issued, by hash."""

    def __init__(self, clock):
        self._clock = clock
        self._by_hash = collections.OrderedDict()
        self.serial = 0

    def make(self, client, lifetime, skew):
        """A new unique token for `client`, its claims dated by a clock that is wrong by `skew` seconds."""
        for _ in range(100):
            if client.token_charset is None:
                token = jwt_shaped(client.client_id, self._clock.now() + skew, lifetime, client.token_length)
            else:
                token = opaque(client.token_charset, client.token_length)
            if self._key(token) not in self._by_hash:
                return token
        raise RuntimeError(f"token_charset and token_length of {client.client_id} leave no unique token")

    def remember(self, token, client_id, lifetime):
        """Note that `token` was issued."""
        self.serial += 1
        self._by_hash[self._key(token)] = Issued(client_id, self.serial, self._clock.now() + lifetime)
        if len(self._by_hash) > REMEMBERED_MAX:
            self._by_hash.popitem(last=False)

    def find(self, token):
        """The Issued of `token`, or None."""
        return self._by_hash.get(self._key(token))

    def clear(self):
        """Forget all."""
        self._by_hash.clear()

    @staticmethod
    def _key(token):
        return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
