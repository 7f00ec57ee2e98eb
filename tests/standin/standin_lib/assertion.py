# SPDX-License-Identifier: MIT
"""Client assertions: private_key_jwt as RFC 7523 (May 2015) sections 2.2 and 3 and OpenID Connect Core section 9 say.

The `cryptography` package is imported only when the first assertion arrives or the first public key is registered.
"""

import base64
import binascii
import json
import re

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS256", "PS256", "ES256")
AHEAD_MAX = 600  # seconds: RFC 7523 section 3 item 4 lets a server refuse an exp "unreasonably far in the future"
CLOCK_LEEWAY = 5  # seconds for iat and nbf, the client's clock may run a little ahead
ES256_PART = 32  # bytes of r and of s (RFC 7518 section 3.4)


class BadAssertion(Exception):
    """The assertion does not authenticate the client; the text says why."""


def decode_part(part):
    """One base64url part (no padding, no other characters) of a JWT as bytes."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", part) or len(part) % 4 == 1:
        raise BadAssertion("a part is not base64url")
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def decode_object(part, what):
    """One part of a JWT as a JSON object."""
    try:
        value = json.loads(decode_part(part))
    except (ValueError, binascii.Error):
        raise BadAssertion(f"{what} is not JSON") from None
    if not isinstance(value, dict):
        raise BadAssertion(f"{what} is not a JSON object")
    return value


def split(text):
    """(header, claims, signed bytes, signature) of a compact JWS."""
    parts = text.split(".")
    if len(parts) != 3:
        raise BadAssertion("an assertion has three parts")
    header, claims = decode_object(parts[0], "header"), decode_object(parts[1], "claims")
    return header, claims, f"{parts[0]}.{parts[1]}".encode("ascii"), decode_part(parts[2])


def unverified_issuer(text):
    """Who the assertion claims to come from, or None: only to sort the request to a client's statistics."""
    try:
        issuer = split(text)[1].get("iss")
    except BadAssertion:
        return None
    return issuer if isinstance(issuer, str) else None


def load_public_key(pem):
    """The key object of a PEM text; raises ValueError."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return load_pem_public_key(pem.encode())


def verify_signature(alg, pem, signed, signature):
    """Raise BadAssertion unless `signature` over `signed` verifies under `alg` (RFC 7518 sections 3.3 to 3.5)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
    from cryptography.hazmat.primitives.hashes import SHA256

    key, sha256 = load_public_key(pem), SHA256()
    wanted = ec.EllipticCurvePublicKey if alg == "ES256" else rsa.RSAPublicKey
    if not isinstance(key, wanted):
        raise BadAssertion(f"{alg} does not fit the registered key")
    try:
        if alg == "RS256":
            key.verify(signature, signed, padding.PKCS1v15(), sha256)
        elif alg == "PS256":  # RFC 7518 section 3.5: the salt is as long as the hash
            key.verify(signature, signed, padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size), sha256)
        else:
            if len(signature) != 2 * ES256_PART:
                raise BadAssertion("an ES256 signature is r and s of 32 bytes each, not DER")
            r, s = (int.from_bytes(half, "big") for half in (signature[:ES256_PART], signature[ES256_PART:]))
            key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(sha256))
    except InvalidSignature:
        raise BadAssertion("the signature does not verify") from None


def is_number(value):
    """A JSON number; in Python a bool is an int, in JSON it is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def verify_times(claims, now):
    """exp: there, in the future, not too far; iat and nbf: not in the future when there."""
    if not is_number(claims.get("exp")):
        raise BadAssertion("exp is missing or no number")
    if claims["exp"] <= now:
        raise BadAssertion("exp has passed")
    if claims["exp"] > now + AHEAD_MAX:
        raise BadAssertion(f"exp is more than {AHEAD_MAX} s ahead")
    for name in ("iat", "nbf"):
        if name in claims and not (is_number(claims[name]) and claims[name] <= now + CLOCK_LEEWAY):
            raise BadAssertion(f"{name} is in the future or no number")


class Assertions:
    """Verifies assertions, and remembers each jti until it could no longer be replayed."""

    def __init__(self, clock):
        self._clock = clock
        self._seen = {}  # (client_id, jti) to exp

    def verify(self, client, text, audiences):
        """Raise BadAssertion unless `text` authenticates `client` at one of the token URLs `audiences`."""
        header, claims, signed, signature = split(text)
        alg = header.get("alg")
        if alg not in ALGORITHMS or (client.alg and alg != client.alg):
            raise BadAssertion(f"alg {alg} is not accepted")
        if header.get("typ", "JWT") not in ("JWT", "client-authentication+jwt") or "crit" in header:
            raise BadAssertion("typ or crit is not accepted")
        if client.kid is not None and header.get("kid") != client.kid:
            raise BadAssertion("kid is not the registered one")
        verify_signature(alg, client.public_key_pem, signed, signature)
        if claims.get("iss") != client.client_id or claims.get("sub") != client.client_id:
            raise BadAssertion("iss and sub must both be the client_id")
        aud = claims.get("aud")
        if not any(one in audiences for one in (aud if isinstance(aud, list) else [aud])):
            raise BadAssertion("aud is not the token URL")
        verify_times(claims, self._clock.now())
        self._use_up(client.client_id, claims)

    def _use_up(self, client_id, claims):
        """Each jti is good once (RFC 7523 section 3 item 7); required here, so that its absence is noticed."""
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise BadAssertion("jti is missing")
        if (client_id, jti) in self._seen:
            raise BadAssertion("jti was used before")
        now = self._clock.now()
        if len(self._seen) > 10_000:
            self._seen = {key: exp for key, exp in self._seen.items() if exp > now}
        self._seen[client_id, jti] = claims["exp"]

    def clear(self):
        """Forget every jti."""
        self._seen.clear()
