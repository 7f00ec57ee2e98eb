# SPDX-License-Identifier: MIT
"""Who is registered: one `Client` for each key set, put there by tests through the control interface.

The forms of Vipps keys (GUID, base64 secret, two interchangeable subscription keys, MSN) are those of Vipps
MobilePay's "API keys" knowledge-base page (2023); nothing here insists on them, tests may register anything.
"""

import dataclasses

VIPPS = "vipps"  # Vipps request 1, POST /accesstoken/get
VIPPS_OAUTH = "vipps-oauth"  # Vipps request 2, POST /miami/v1/token
OAUTH2_KINDS = ("basic", "post", "private_key_jwt", "tls")  # POST /oauth2/token, by authentication method
KINDS = (VIPPS, VIPPS_OAUTH, *OAUTH2_KINDS)

# Vipps: 3600 s in the test environment (86400 s in production), 900 s for request 2 (access-token API guide, 2023).
LIFETIME_BY_KIND = {VIPPS: 3600, VIPPS_OAUTH: 900}
LIFETIME_ELSE = 3600

TOKEN_LENGTH = 1400  # Vipps tokens are JWTs of typically 1000 to 1500 characters
JWT_LENGTH_MIN = 1000  # below, header, claims and signature may not fit
TOKEN_LENGTH_MAX = 1024 * 1024


class BadClient(ValueError):
    """A registration that makes no sense; the text says why."""


@dataclasses.dataclass
class Client:
    """One registered key set. The first group are the members of `POST /clients`."""

    client_id: str
    client_secret: str | None = None
    next_client_secret: str | None = None  # accepted beside the first, while an operator goes from one to the other
    subscription_keys: list = dataclasses.field(default_factory=list)  # primary, secondary
    api_subscription_key: str | None = None  # old key sets: API calls need this one instead
    msn: str | None = None
    kind: str = VIPPS
    public_key_pem: str | None = None
    kid: str | None = None
    alg: str | None = None  # None: any of RS256, PS256, ES256 that fits the key
    tls_subject_cn: str = "standin-client"  # RFC 8705 section 2.1: the subject the certificate must have
    basic_encoding: str | None = None  # "form" (RFC 6749 2.3.1) or "raw"; None: by kind
    scope: str | None = None
    audience: str | None = None
    resource: str | list | None = None
    lifetime: int | None = None  # seconds
    token_length: int = TOKEN_LENGTH
    token_charset: str | None = None  # None: JWT-shaped; else opaque, drawn from these characters

    revoked_secrets: set = dataclasses.field(default_factory=set, init=False)  # 0: client_secret, 1: the next one
    revoked_keys: set = dataclasses.field(default_factory=set, init=False)  # indexes
    tokens_revoked_to: int = dataclasses.field(default=0, init=False)  # serial of the last token revoked

    def check(self):
        """Raise BadClient unless the registration makes sense; catches typing errors in tests early."""
        for name in TEXTS:
            if not isinstance(getattr(self, name), (str, type(None))):
                raise BadClient(f"{name} must be a string")
        for name in ("subscription_keys", "resource"):
            value = getattr(self, name)
            if isinstance(value, list) and not all(isinstance(one, str) for one in value):
                raise BadClient(f"{name} must be strings")
        if not isinstance(self.subscription_keys, list) or not isinstance(self.resource, (str, list, type(None))):
            raise BadClient("subscription_keys must be a list of strings, resource a string or such a list")
        if not self.client_id:
            raise BadClient("client_id must not be empty")
        if self.kind not in KINDS:
            raise BadClient(f"kind must be one of {', '.join(KINDS)}")
        if self.kind in (VIPPS, VIPPS_OAUTH, "basic", "post") and not isinstance(self.client_secret, str):
            raise BadClient(f"kind {self.kind} needs client_secret")
        if self.next_client_secret is not None and self.client_secret is None:
            raise BadClient("next_client_secret needs a client_secret that it is to follow")
        if self.kind == VIPPS and not self.subscription_keys:
            raise BadClient("kind vipps needs subscription_keys")
        if self.kind == "private_key_jwt" and not self.public_key_pem:
            raise BadClient("kind private_key_jwt needs public_key_pem")
        if self.lifetime is not None and (type(self.lifetime) is not int or self.lifetime < 1):
            raise BadClient("lifetime must be a whole number of seconds, at least 1")
        if type(self.token_length) is not int or not 1 <= self.token_length <= TOKEN_LENGTH_MAX:
            raise BadClient(f"token_length must be 1 to {TOKEN_LENGTH_MAX}")
        if self.token_charset is None and self.token_length < JWT_LENGTH_MIN:
            raise BadClient(f"a JWT-shaped token has at least {JWT_LENGTH_MIN} characters; set token_charset")
        if self.token_charset == "":
            raise BadClient("token_charset must not be empty")
        if self.basic_encoding not in (None, "form", "raw"):
            raise BadClient("basic_encoding must be form or raw")

    @property
    def basic_is_form_encoded(self):
        """Whether the halves of HTTP Basic are form-encoded (RFC 6749 2.3.1) or plain (RFC 7617).

        The RFC says form-encoded; Vipps documents plain base64(client_id:client_secret) for request 2.
        """
        return (self.basic_encoding or ("raw" if self.kind == VIPPS_OAUTH else "form")) == "form"

    def accepts_secret(self, secret):
        """Whether `secret` is one of this client's, and not revoked."""
        mine = (self.client_secret, self.next_client_secret)
        return secret is not None and any(secret == s for i, s in enumerate(mine) if i not in self.revoked_secrets)

    @property
    def is_key_revoked(self):
        """Whether the key of kind tls or private_key_jwt is revoked, which counts as its secret."""
        return 0 in self.revoked_secrets

    def accepts_token_key(self, key):
        """Whether `key` is a subscription key good for a token request."""
        return any(key == k for i, k in enumerate(self.subscription_keys) if i not in self.revoked_keys)

    def accepts_api_key(self, key):
        """Whether `key` is a subscription key good for an API call."""
        if self.api_subscription_key is not None:
            return key == self.api_subscription_key
        return self.accepts_token_key(key)

    def set_revoked(self, what, index, revoked):
        """Revoke (or restore) keys: what is "secret" or "subscription_key" (index 0, 1 or None: all), or "all"."""
        if what not in ("secret", "subscription_key", "all"):
            raise BadClient("what must be secret, subscription_key, tokens or all")
        if what in ("secret", "all"):
            if what == "secret" and (index not in (None, 0, 1) or index == 1 and self.next_client_secret is None):
                raise BadClient(f"there is no client secret {index}")
            chosen = {0, 1} if index is None or what == "all" else {index}
            self.revoked_secrets = self.revoked_secrets | chosen if revoked else self.revoked_secrets - chosen
        if what in ("subscription_key", "all"):
            every = range(len(self.subscription_keys))
            if index is not None and index not in every:
                raise BadClient(f"there is no subscription key {index}")
            chosen = set(every) if index is None or what == "all" else {index}
            self.revoked_keys = self.revoked_keys | chosen if revoked else self.revoked_keys - chosen


TEXTS = (
    "client_id", "client_secret", "next_client_secret", "api_subscription_key", "msn", "kind", "public_key_pem", "kid",
    "alg", "tls_subject_cn", "basic_encoding", "scope", "audience", "token_charset",
)  # fmt: skip
MEMBERS = {field.name for field in dataclasses.fields(Client) if field.init}


def client_of(values):
    """A checked Client from the members of a registration."""
    if not isinstance(values, dict):
        raise BadClient("a client must be a JSON object")
    unknown = set(values) - MEMBERS
    if unknown:
        raise BadClient(f"unknown member {', '.join(sorted(unknown))}")
    if "client_id" not in values:
        raise BadClient("client_id is missing")
    client = Client(**values)
    client.check()
    return client


class Clients:
    """The register: client_id to Client."""

    def __init__(self):
        self._by_id = {}

    def __len__(self):
        return len(self._by_id)

    def __iter__(self):
        return iter(self._by_id.values())

    def get(self, client_id):
        """The client, or None."""
        return self._by_id.get(client_id)

    def put_all(self, clients):
        """Register or replace; all of them or, because they were checked before, none."""
        for client in clients:
            self._by_id[client.client_id] = client

    def change(self, client_id, values):
        """Change some members of one client; what is revoked stays revoked."""
        old = self._by_id[client_id]
        merged = {name: getattr(old, name) for name in MEMBERS} | values
        new = client_of(merged)
        if new.client_id != client_id:
            raise BadClient("client_id cannot be changed")
        new.revoked_secrets, new.revoked_keys = old.revoked_secrets, old.revoked_keys
        new.tokens_revoked_to = old.tokens_revoked_to
        self._by_id[client_id] = new
        return new

    def remove(self, client_id):
        """Forget one client; whether it was there."""
        return self._by_id.pop(client_id, None) is not None

    def clear(self):
        """Forget all."""
        self._by_id.clear()
