# SPDX-License-Identifier: MIT
"""The upstream's own doors: three token endpoints and one API call. Everything a client can get wrong is refused here.

Sources
    Request 1, POST /accesstoken/get     developer.vippsmobilepay.com, access-token API guide and OpenAPI 2.0.0 (2023)
    Request 2, POST /miami/v1/token      the same site, management and accounting keys (2023)
    POST /oauth2/token                   RFC 6749 (client credentials), RFC 7523, RFC 8705, RFC 8707
    subscription-key refusals            the texts of Azure API Management, as seen in front of Vipps
    AADSTS texts                         Azure AD's, as in Vipps' published error examples
"""

import base64
import binascii
import datetime
import re
import urllib.parse
import uuid

from . import assertion
from .clients import LIFETIME_BY_KIND, LIFETIME_ELSE, OAUTH2_KINDS, VIPPS, VIPPS_OAUTH
from .http1 import Response
from .tokens import NOT_BEFORE_LEEWAY

SYSTEM_HEADERS = tuple(f"Vipps-System-{name}" for name in ("Name", "Version", "Plugin-Name", "Plugin-Version"))
SYSTEM_HEADER_MAX = 30  # characters, access-token API guide (2023)
MSN_FORM = re.compile(r"[0-9]{4,7}")  # 4 to 6 in the OpenAPI, 7 digits are in use

# What a token endpoint may be sent once only: RFC 6749 section 3.2. `resource` may repeat: RFC 8707 section 2.
REPEATABLE = ("resource",)
SECRET_PARAMETERS = ("client_secret", "client_assertion")


class Refusal(Exception):
    """The request is refused with `response`."""

    def __init__(self, response):
        super().__init__(response.status)
        self.response = response


def gateway_refusal(status, message, headers=()):
    """A refusal in the words of the API gateway."""
    return Refusal(Response.of_json(status, {"statusCode": status, "message": message}, headers))


def problem_refusal(status, detail):
    """A refusal as RFC 7807 problem JSON, as Vipps' own services answer."""
    body = {"type": "about:blank", "title": "Bad Request", "status": status, "detail": detail}
    return Refusal(Response.of_json(status, body, content_type="application/problem+json"))


def oauth_refusal(status, error, description):
    """A refusal as RFC 6749 section 5.2 says; 401 names the scheme as HTTP wants it."""
    headers = [("Cache-Control", "no-store")]
    if status == 401:
        headers.append(("WWW-Authenticate", 'Basic realm="standin"'))
    return Refusal(Response.of_json(status, {"error": error, "error_description": description}, headers))


def azure_refusal(status, error, code, text, now):
    """A refusal in the shape of Azure AD, which issues the tokens of request 1."""
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    stamp = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    return Refusal(
        Response.of_json(
            status,
            {
                "error": error,
                "error_description": f"AADSTS{code}: {text}\r\nTrace ID: {trace}\r\n"
                f"Correlation ID: {correlation}\r\nTimestamp: {stamp}",
                "error_codes": [code],
                "timestamp": stamp,
                "trace_id": trace,
                "correlation_id": correlation,
            },
        )
    )


def basic_credentials(request, form_encoded):
    """(user, password) of HTTP Basic, or None when the header is absent or no acceptable Basic."""
    scheme, _, encoded = (request.header("Authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
        if not colon:
            return None
        if form_encoded:
            user, password = (urllib.parse.unquote_plus(part, errors="strict") for part in (user, password))
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


def parse_form(request):
    """The form of a token request as name -> list of values; refuses what RFC 6749 appendix B does not allow."""
    media, _, parameters = (request.header("Content-Type") or "").partition(";")
    if media.strip().lower() != "application/x-www-form-urlencoded":
        raise oauth_refusal(400, "invalid_request", "Content-Type must be application/x-www-form-urlencoded")
    if parameters.strip().lower() not in ("", "charset=utf-8"):
        raise oauth_refusal(400, "invalid_request", "the form must be UTF-8")
    try:
        text = request.body.decode("ascii")
        form = urllib.parse.parse_qs(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    except ValueError:  # UnicodeDecodeError is one
        raise oauth_refusal(400, "invalid_request", "the body is not a form") from None
    for name, values in form.items():
        if len(values) > 1 and name not in REPEATABLE:
            raise oauth_refusal(400, "invalid_request", f"{name} came more than once")
    return form


def claimed_client_id(request, route):
    """Who a token request says it comes from, before anything is checked; None when it does not say."""
    if route is ACCESSTOKEN:
        return request.header("client_id")
    credentials = basic_credentials(request, form_encoded=route is OAUTH2)
    if credentials:
        return credentials[0]
    if route is not OAUTH2:
        return None
    form = urllib.parse.parse_qs(request.body.decode("latin-1"))
    if "client_id" in form:
        return form["client_id"][0]
    return assertion.unverified_issuer(form["client_assertion"][0]) if "client_assertion" in form else None


class Upstream:
    """Validates token requests and API calls and answers the good ones."""

    def __init__(self, clock, clients, tokens):
        self._clock = clock
        self._clients = clients
        self._tokens = tokens
        self._assertions = assertion.Assertions(clock)
        self.default_lifetime = None  # seconds; None: by kind

    def reset(self):
        """Back to the start; clients and tokens are cleared by their owner."""
        self._assertions.clear()
        self.default_lifetime = None

    # --- issuing -------------------------------------------------------------------------------------------------

    def _issue(self, client, shape):
        """(token, lifetime, issued at as claimed) for an accepted request, bent by the fault `shape`."""
        lifetime = client.lifetime or self.default_lifetime or LIFETIME_BY_KIND.get(client.kind, LIFETIME_ELSE)
        lifetime = shape.get("lifetime", lifetime)
        skew = shape.get("date_skew", 0)
        token = shape["token"] if isinstance(shape.get("token"), str) else self._tokens.make(client, lifetime, skew)
        self._tokens.remember(token, client.client_id, lifetime)
        return token, lifetime, int(self._clock.now() + skew)

    # --- Vipps request 1 -----------------------------------------------------------------------------------------

    def accesstoken(self, request, _connection, shape):
        """POST /accesstoken/get: credentials in headers, no body, numbers as strings."""
        client = self._vipps_client(request)
        check_vipps_headers(request)
        if request.header("Content-Length") is None:
            raise gateway_refusal(411, "Length Required")
        if request.body:
            raise problem_refusal(400, "the request must have no body")
        token, lifetime, issued_at = self._issue(client, shape)
        return {
            "token_type": "Bearer",
            "expires_in": str(lifetime),
            "ext_expires_in": "0",
            "expires_on": str(issued_at + lifetime),
            "not_before": str(issued_at - NOT_BEFORE_LEEWAY),
            "resource": "00000002-0000-0000-c000-000000000000",
            "access_token": token,
        }

    def _vipps_client(self, request):
        """The client of a request 1. The gateway looks at the subscription key first, Azure AD at the rest."""
        key = request.header("Ocp-Apim-Subscription-Key")
        if not key:
            raise gateway_refusal(
                401,
                "Access denied due to missing subscription key. "
                "Make sure to include subscription key when making requests to an API.",
            )
        client_id = request.header("client_id")
        client = self._clients.get(client_id)
        if not client or client.kind != VIPPS:
            # An unregistered client has no key to compare with, so this comes before the check of the key.
            raise azure_refusal(
                400,
                "unauthorized_client",
                70001,
                f"Application with identifier '{client_id}' was not found in the directory testapivipps.no",
                self._clock.now(),
            )
        if not client.accepts_token_key(key):
            raise gateway_refusal(
                401,
                "Access denied due to invalid subscription key. "
                "Make sure to provide a valid key for an active subscription.",
            )
        if not client.accepts_secret(request.header("client_secret")):
            raise azure_refusal(401, "invalid_client", 7000215, "Invalid client secret is provided.", self._clock.now())
        return client

    # --- Vipps request 2 -----------------------------------------------------------------------------------------

    def miami(self, request, _connection, shape):
        """POST /miami/v1/token: HTTP Basic, a form, no subscription key, numbers as numbers."""
        if request.header("Ocp-Apim-Subscription-Key") is not None:
            raise problem_refusal(400, "this request takes no subscription key")
        form = parse_form(request)
        if any(name in form for name in SECRET_PARAMETERS):
            raise oauth_refusal(400, "invalid_request", "more than one authentication method")
        client = self._basic_client(request)
        if client.kind != VIPPS_OAUTH:
            raise oauth_refusal(400, "unauthorized_client", "these keys are not for this token endpoint")
        check_grant_type(form)
        check_vipps_headers(request)
        token, lifetime, _ = self._issue(client, shape)
        return {"access_token": token, "token_type": "Bearer", "expires_in": lifetime}

    def _basic_client(self, request):
        """The client of a request 2. It may be registered for either encoding of Basic; raw is what Vipps documents."""
        for form_encoded in (False, True):
            credentials = basic_credentials(request, form_encoded)
            client = self._clients.get(credentials[0]) if credentials else None
            if client and client.basic_is_form_encoded == form_encoded and client.accepts_secret(credentials[1]):
                return client
        raise oauth_refusal(401, "invalid_client", "client authentication failed")

    # --- RFC 6749 ------------------------------------------------------------------------------------------------

    def oauth2(self, request, connection, shape):
        """POST /oauth2/token: client credentials with the one method the client is registered for."""
        if any(name in urllib.parse.parse_qs(request.query) for name in ("client_id", *SECRET_PARAMETERS)):
            raise oauth_refusal(400, "invalid_request", "credentials must not be in the URL")  # RFC 6749 2.3.1
        form = parse_form(request)
        client = self._authenticate(request, form, connection)
        check_grant_type(form)
        answer = {}
        if client.scope is not None:
            answer["scope"] = checked_scope(client, form)
        check_target(client.audience, form.get("audience", []), "audience")
        check_target(client.resource, form.get("resource", []), "resource")
        token, lifetime, _ = self._issue(client, shape)
        return {"access_token": token, "token_type": "Bearer", "expires_in": lifetime, **answer}

    def _authenticate(self, request, form, connection):
        """The client, authenticated by its registered method and no other (RFC 6749 section 2.3)."""
        used = []
        if request.header("Authorization") is not None:
            used.append("basic")
        if "client_secret" in form:
            used.append("post")
        if "client_assertion" in form or "client_assertion_type" in form:
            used.append("private_key_jwt")
        if len(used) > 1:
            raise oauth_refusal(400, "invalid_request", "more than one authentication method")
        method = used[0] if used else "tls"

        credentials = basic_credentials(request, form_encoded=True) if method == "basic" else None
        in_form = form.get("client_id", [None])[0]
        client_id = credentials[0] if credentials else in_form
        if method == "private_key_jwt" and client_id is None:
            client_id = assertion.unverified_issuer(form.get("client_assertion", [""])[0])
        if credentials and in_form is not None and in_form != client_id:
            raise oauth_refusal(400, "invalid_request", "two different client_id")
        client = self._clients.get(client_id)
        if not client:
            raise oauth_refusal(401, "invalid_client", "unknown client")
        if client.kind not in OAUTH2_KINDS:
            raise oauth_refusal(400, "unauthorized_client", "these keys are not for this token endpoint")
        if client.kind != method:
            raise oauth_refusal(401, "invalid_client", f"this client must authenticate by {client.kind}")
        if method == "basic" and not client.basic_is_form_encoded:
            credentials = basic_credentials(request, form_encoded=False)
        self._prove(client, form, credentials, connection, request)
        return client

    def _prove(self, client, form, credentials, connection, request):
        """Raise unless the proof that `client.kind` asks for holds."""
        if client.kind in ("basic", "post"):
            secret = credentials[1] if client.kind == "basic" else form["client_secret"][0]
            if not client.accepts_secret(secret):
                raise oauth_refusal(401, "invalid_client", "wrong client secret")
        elif client.is_key_revoked:
            raise oauth_refusal(401, "invalid_client", "the client's key is revoked")
        elif client.kind == "private_key_jwt":
            if form.get("client_assertion_type") != [assertion.ASSERTION_TYPE]:
                raise oauth_refusal(400, "invalid_request", f"client_assertion_type must be {assertion.ASSERTION_TYPE}")
            try:
                text = form.get("client_assertion", [""])[0]
                self._assertions.verify(client, text, connection.listener.urls(request.target))
            except assertion.BadAssertion as error:
                raise oauth_refusal(401, "invalid_client", f"client assertion: {error}") from None
        else:
            subject = dict(pair for rdn in (connection.peer_cert or {}).get("subject", ()) for pair in rdn)
            if subject.get("commonName") != client.tls_subject_cn:  # RFC 8705 section 2.1
                raise oauth_refusal(401, "invalid_client", "no client certificate, or not the registered one")

    # --- an API call ---------------------------------------------------------------------------------------------

    def client_of_token(self, request):
        """Whose token an API call carries, or None."""
        issued = self._tokens.find((request.header("Authorization") or "").removeprefix("Bearer "))
        return issued.client_id if issued else None

    def ping(self, request, _connection, _shape):
        """GET /api/ping: proves that a handed-out header set works, all of it."""
        scheme, _, token = (request.header("Authorization") or "").partition(" ")
        if scheme != "Bearer":  # capital B: some of Vipps' APIs refuse "bearer"
            raise ping_refusal("missing token" if not scheme else "scheme must be Bearer")
        issued = self._tokens.find(token)
        client = self._clients.get(issued.client_id) if issued else None
        if not client:
            raise ping_refusal("token unknown")
        if issued.serial <= client.tokens_revoked_to:
            raise ping_refusal("token revoked")
        if issued.expires_at <= self._clock.now():
            raise ping_refusal("token expired")
        key = request.header("Ocp-Apim-Subscription-Key")
        if client.kind == VIPPS and not client.accepts_api_key(key):
            raise ping_refusal("wrong subscription key")
        if client.kind != VIPPS and key is not None:
            raise ping_refusal("unexpected subscription key")
        if client.msn is not None and request.header("Merchant-Serial-Number") != client.msn:
            raise ping_refusal("wrong merchant serial number")
        check_vipps_headers(request)
        return {"client": client.client_id}

    def revoke_tokens(self, client):
        """Make every token issued to `client` so far unusable at the API."""
        client.tokens_revoked_to = self._tokens.serial


def ping_refusal(error):
    """401 as a resource server gives it (RFC 6750 section 3)."""
    headers = [("WWW-Authenticate", 'Bearer error="invalid_token"')]
    return Refusal(Response.of_json(401, {"error": error}, headers))


def check_vipps_headers(request):
    """The optional Vipps headers: the form of the MSN and the length of the system names."""
    msn = request.header("Merchant-Serial-Number")
    if msn is not None and not MSN_FORM.fullmatch(msn):
        raise problem_refusal(400, "Merchant-Serial-Number must be 4 to 7 digits")
    for name in SYSTEM_HEADERS:
        if len(request.header(name) or "") > SYSTEM_HEADER_MAX:
            raise problem_refusal(400, f"{name} must have at most {SYSTEM_HEADER_MAX} characters")


def check_grant_type(form):
    """Client credentials and nothing else (RFC 6749 section 4.4)."""
    if "grant_type" not in form:
        raise oauth_refusal(400, "invalid_request", "grant_type is missing")
    if form["grant_type"] != ["client_credentials"]:
        raise oauth_refusal(400, "unsupported_grant_type", "only client_credentials")


def checked_scope(client, form):
    """The scope granted: what was asked for when it is registered, all of it when nothing was asked for."""
    asked = form.get("scope", [client.scope])[0]
    if not asked or not set(asked.split(" ")) <= set(client.scope.split(" ")):
        raise oauth_refusal(400, "invalid_scope", "a scope that was not registered")
    return asked


def check_target(registered, asked, name):
    """audience and resource (RFC 8707 section 2): if registered, one of them must be asked for, and no other."""
    if registered is None:
        return
    allowed = registered if isinstance(registered, list) else [registered]
    if not asked or not set(asked) <= set(allowed):
        raise oauth_refusal(400, "invalid_target", f"{name} is missing or was not registered")


class Route:
    """One door: its method, its handler's name in Upstream, and whether it is a token endpoint."""

    def __init__(self, path, method, handler, is_token=True, any_case=False):
        self.path, self.method, self.handler = path, method, handler
        self.is_token, self.any_case = is_token, any_case


ACCESSTOKEN = Route("/accesstoken/get", "POST", "accesstoken", any_case=True)  # "/accessToken/get" is seen in the wild
MIAMI = Route("/miami/v1/token", "POST", "miami", any_case=True)
AUTHENTICATION = Route("/authentication/v1/token", "POST", "miami", any_case=True)  # the announced new name
OAUTH2 = Route("/oauth2/token", "POST", "oauth2")
PING = Route("/api/ping", "GET", "ping", is_token=False)
ROUTES = (ACCESSTOKEN, MIAMI, AUTHENTICATION, OAUTH2, PING)
BY_PATH = {route.path: route for route in ROUTES}


def find_route(path):
    """The Route of a path, or None."""
    route = BY_PATH.get(path)
    if route is None:
        route = BY_PATH.get(path.lower())
        if route is not None and not route.any_case:
            route = None
    return route
