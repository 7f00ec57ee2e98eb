# SPDX-License-Identifier: MIT
"""The stand-in tested strictly: what it must refuse, how it must fail. Run: /usr/bin/python3 -m pytest [-n 2]

Every test registers clients of its own and limits its faults to them, so all share one stand-in a module (and, under
xdist, a worker) and none disturbs another. Nothing sleeps; what takes time in life is held and released here.
"""

import base64
import email.utils
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from client import PROGRAM, ControlError, Standin, WaitTimeout  # noqa: E402

FORM = "application/x-www-form-urlencoded"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def upstream():
    with Standin() as one:
        yield one
        assert one.stderr == "", "the stand-in complained"


@pytest.fixture
def alone():
    """A stand-in of the test's own, for what concerns the whole process."""
    with Standin("--no-tls") as one:
        yield one


class Answer:
    """Status, headers and body of one answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read()

    @property
    def json(self):
        return json.loads(self.text)


def call(url, method="POST", headers=None, body=None, context=None):
    """One request on a connection of its own."""
    parts = urllib.parse.urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request(method, target, body, headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def vipps_headers(client, **changed):
    """The headers of request 1; changed ones replace, None removes. Underscores of keywords stand for themselves."""
    headers = {
        "client_id": client["client_id"],
        "client_secret": client["client_secret"],
        "Ocp-Apim-Subscription-Key": client["subscription_keys"][0],
        "Content-Length": "0",
    }
    headers.update(changed)
    return {name: value for name, value in headers.items() if value is not None}


def fetch(upstream, client, path="/accesstoken/get", method="POST", body=None, **changed):
    """Request 1."""
    return call(upstream.http + path, method, vipps_headers(client, **changed), body)


def basic(user, password, quote=urllib.parse.quote_plus):
    return "Basic " + base64.b64encode(f"{quote(user)}:{quote(password)}".encode()).decode()


def grant(upstream, client=None, base=None, path="/oauth2/token", headers=None, context=None, query="", **form):
    """A token request with a form; `client` of kind basic or post authenticates by its method."""
    form = {"grant_type": "client_credentials"} | form
    sent = {"Content-Type": FORM} | (headers or {})
    if client and client["kind"] == "basic":
        sent["Authorization"] = basic(client["client_id"], client["client_secret"])
    if client and client["kind"] == "post":
        form |= {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    body = urllib.parse.urlencode({n: v for n, v in form.items() if v is not None}, doseq=True)
    return call((base or upstream.http) + path + query, "POST", sent, body, context)


def api_headers(client, token):
    return {"Authorization": f"Bearer {token}", "Ocp-Apim-Subscription-Key": client["subscription_keys"][0]}


def raw_exchange(upstream, data):
    """Bytes out, bytes in until the other side closes; (bytes, whether it was a reset)."""
    address = urllib.parse.urlsplit(upstream.http)
    received = bytearray()
    with socket.create_connection((address.hostname, address.port), timeout=30) as sock:
        sock.sendall(data)
        try:
            while part := sock.recv(1 << 16):
                received += part
        except ConnectionResetError:
            return bytes(received), True
    return bytes(received), False


def raw_fetch(client, close=False):
    """Request 1 as bytes."""
    lines = ["POST /accesstoken/get HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in vipps_headers(client).items()]
    return ("\r\n".join(lines) + ("\r\nConnection: close" if close else "") + "\r\n\r\n").encode()


def in_background(function, *arguments, **keywords):
    """Run in a thread; returns join(), which gives the result or raises what the function raised."""
    outcome = []

    def run():
        try:
            outcome.append((function(*arguments, **keywords), None))
        except Exception as error:  # handed to join()
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join():
        thread.join(30)
        assert outcome, "did not end"
        value, error = outcome[0]
        if error:
            raise error
        return value

    return join


# --- request 1 -------------------------------------------------------------------------------------------------------


def test_vipps_answer_is_as_documented(upstream):
    client = upstream.vipps_client(lifetime=86398)
    answer = fetch(upstream, client)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    members = answer.json
    assert list(members) == [
        "token_type", "expires_in", "ext_expires_in", "expires_on", "not_before", "resource", "access_token",
    ]  # fmt: skip
    assert all(isinstance(value, str) for value in members.values())
    assert members["token_type"] == "Bearer" and members["expires_in"] == "86398" and members["ext_expires_in"] == "0"
    assert abs(int(members["expires_on"]) - time.time() - 86398) < 30
    assert int(members["expires_on"]) - int(members["not_before"]) == 86398 + 300


@pytest.mark.parametrize("length", [1000, 1400, 1401, 1402, 1403, 1500, 70000])
def test_token_is_shaped_like_a_jwt_of_exactly_that_length(upstream, length):
    client = upstream.vipps_client(token_length=length)
    members = fetch(upstream, client).json
    token = members["access_token"]
    assert len(token) == length
    header, claims, signature = (base64.urlsafe_b64decode(p + "=" * (-len(p) % 4)) for p in token.split("."))
    assert json.loads(header)["typ"] == "JWT" and len(signature) >= 255
    claims = json.loads(claims)
    assert claims["exp"] == int(members["expires_on"]) and claims["exp"] - claims["iat"] == 3600
    assert claims["appid"] == client["client_id"] and uuid.UUID(claims["jti"])
    assert fetch(upstream, client).json["access_token"] != token


def test_opaque_token(upstream):
    client = upstream.vipps_client(token_charset="ab~", token_length=33)
    assert re.fullmatch("[ab~]{33}", fetch(upstream, client).json["access_token"])


@pytest.mark.parametrize("path", ["/accessToken/get", "/ACCESSTOKEN/GET"])
def test_vipps_path_in_any_case(upstream, path):
    assert fetch(upstream, upstream.vipps_client(), path).status == 200


def test_both_subscription_keys_work(upstream):
    client = upstream.vipps_client()
    for key in client["subscription_keys"]:
        assert fetch(upstream, client, **{"Ocp-Apim-Subscription-Key": key}).status == 200


def test_unknown_client_is_told_in_azures_words(upstream):
    client = upstream.vipps_client()
    answer = fetch(upstream, client, client_id="nobody")
    assert answer.status == 400 and answer.json["error"] == "unauthorized_client"
    text = "AADSTS70001: Application with identifier 'nobody' was not found in the directory testapivipps.no"
    assert answer.json["error_description"].startswith(text) and answer.json["error_codes"] == [70001]


@pytest.mark.parametrize("secret", ["wrong", "", None])
def test_wrong_secret(upstream, secret):
    answer = fetch(upstream, upstream.vipps_client(), client_secret=secret)
    assert answer.status == 401 and answer.json["error"] == "invalid_client"
    assert answer.json["error_description"].startswith("AADSTS7000215: ")


@pytest.mark.parametrize("key, word", [("wrong", "invalid"), ("", "missing"), (None, "missing")])
def test_wrong_subscription_key(upstream, key, word):
    answer = fetch(upstream, upstream.vipps_client(), **{"Ocp-Apim-Subscription-Key": key})
    assert answer.status == 401 and answer.json["statusCode"] == 401
    assert answer.json["message"].startswith(f"Access denied due to {word} subscription key. ")


@pytest.mark.parametrize("name, value, status", [
    ("Merchant-Serial-Number", "1234", 200),
    ("Merchant-Serial-Number", "1234567", 200),
    ("Merchant-Serial-Number", "123", 400),
    ("Merchant-Serial-Number", "12345678", 400),
    ("Merchant-Serial-Number", "12a456", 400),
    ("Vipps-System-Name", "n" * 30, 200),
    ("Vipps-System-Name", "n" * 31, 400),
    ("Vipps-System-Version", "n" * 31, 400),
    ("Vipps-System-Plugin-Name", "n" * 31, 400),
    ("Vipps-System-Plugin-Version", "n" * 31, 400),
])  # fmt: skip
def test_optional_vipps_headers(upstream, name, value, status):
    assert fetch(upstream, upstream.vipps_client(), **{name: value}).status == status


def test_request_1_has_no_body_and_says_so(upstream):
    client = upstream.vipps_client()
    assert fetch(upstream, client, body=b"{}", **{"Content-Length": "2"}).status == 400
    without = raw_fetch(client, close=True).replace(b"Content-Length: 0\r\n", b"")
    assert raw_exchange(upstream, without)[0].startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize("path, method, status, allow", [
    ("/accesstoken/get", "GET", 405, "POST"),
    ("/accesstoken/get/", "POST", 404, None),
    ("/accesstoken", "POST", 404, None),
    ("/oauth2/token", "GET", 405, "POST"),
    ("/OAUTH2/token", "POST", 404, None),
    ("/api/ping", "POST", 405, "GET"),
])  # fmt: skip
def test_wrong_method_and_path(upstream, path, method, status, allow):
    answer = fetch(upstream, upstream.vipps_client(), path, method)
    assert answer.status == status and answer.headers["Allow"] == allow


def test_client_of_another_kind_is_unknown_to_request_1(upstream):
    client = upstream.oauth_client("basic") | {"subscription_keys": ["x"]}
    assert fetch(upstream, client).status == 400


# --- request 2 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/miami/v1/token", "/authentication/v1/token"])
def test_vipps_oauth(upstream, path):
    client = upstream.oauth_client("vipps-oauth", client_secret="a+b/c==:%41")  # Basic is plain here, not form-encoded
    authorization = basic(client["client_id"], client["client_secret"], quote=str)
    answer = grant(upstream, path=path, headers={"Authorization": authorization, "Merchant-Serial-Number": "1234"})
    assert answer.status == 200 and list(answer.json) == ["access_token", "token_type", "expires_in"]
    assert answer.json["expires_in"] == 900 and answer.json["token_type"] == "Bearer"


@pytest.mark.parametrize("changed, form, status, error", [
    ({"Ocp-Apim-Subscription-Key": "k"}, {}, 400, None),
    ({"Authorization": "Basic !!!"}, {}, 401, "invalid_client"),
    ({"Authorization": basic("nobody", "x")}, {}, 401, "invalid_client"),
    ({"Content-Type": "application/json"}, {}, 400, "invalid_request"),
    ({}, {"grant_type": "password"}, 400, "unsupported_grant_type"),
    ({}, {"grant_type": None}, 400, "invalid_request"),
    ({}, {"client_secret": "s"}, 400, "invalid_request"),
    ({"Merchant-Serial-Number": "1"}, {}, 400, None),
    ({"Vipps-System-Name": "n" * 31}, {}, 400, None),
])  # fmt: skip
def test_vipps_oauth_refuses(upstream, changed, form, status, error):
    client = upstream.oauth_client("vipps-oauth")
    headers = {"Authorization": basic(client["client_id"], client["client_secret"], quote=str)} | changed
    answer = grant(upstream, path="/miami/v1/token", headers=headers, **form)
    assert answer.status == status and answer.json.get("error") == error


def test_keys_of_one_endpoint_are_not_for_the_other(upstream):
    vipps_oauth, plain = upstream.oauth_client("vipps-oauth"), upstream.oauth_client("basic")
    answer = grant(upstream, plain, path="/miami/v1/token")
    assert answer.status == 400 and answer.json["error"] == "unauthorized_client"
    answer = grant(upstream, vipps_oauth | {"kind": "basic"})
    assert answer.status == 400 and answer.json["error"] == "unauthorized_client"


# --- RFC 6749 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["basic", "post"])
def test_oauth2_with_secrets_that_need_encoding(upstream, kind):
    client = upstream.oauth_client(kind, client_id=f"a:b c{uuid.uuid4()}", client_secret="p+%/=& :ø")
    answer = grant(upstream, client)
    assert answer.status == 200 and answer.json["expires_in"] == 3600
    assert grant(upstream, client | {"client_secret": "p+%/=& :o"}).json["error"] == "invalid_client"


def test_oauth2_basic_must_be_form_encoded_unless_registered_raw(upstream):
    client = upstream.oauth_client("basic", client_secret="a+b")
    plain = {"Authorization": basic(client["client_id"], client["client_secret"], quote=str)}
    answer = grant(upstream, headers=plain)
    assert answer.status == 401 and answer.headers["WWW-Authenticate"] == 'Basic realm="standin"'
    upstream.change(client["client_id"], basic_encoding="raw")
    assert grant(upstream, headers=plain).status == 200


def test_oauth2_only_the_registered_method(upstream):
    uses_basic, uses_post = upstream.oauth_client("basic"), upstream.oauth_client("post")
    assert grant(upstream, uses_basic | {"kind": "post"}).json["error"] == "invalid_client"
    assert grant(upstream, uses_post | {"kind": "basic"}).json["error"] == "invalid_client"
    assert grant(upstream, client_id=uses_post["client_id"]).json["error"] == "invalid_client"


@pytest.mark.parametrize("form, error", [
    ({"client_secret": "s"}, "invalid_request"),
    ({"client_assertion": "a"}, "invalid_request"),
    ({"client_id": "another"}, "invalid_request"),
    ({"grant_type": None}, "invalid_request"),
    ({"grant_type": ["client_credentials", "client_credentials"]}, "invalid_request"),
    ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
])  # fmt: skip
def test_oauth2_refuses(upstream, form, error):
    answer = grant(upstream, upstream.oauth_client("basic"), **form)
    assert answer.status == 400 and answer.json["error"] == error


@pytest.mark.parametrize("media, status", [
    (FORM + "; charset=UTF-8", 200), ("application/json", 400), (FORM + "; charset=latin1", 400), ("", 400),
])  # fmt: skip
def test_oauth2_content_type(upstream, media, status):
    assert grant(upstream, upstream.oauth_client("basic"), headers={"Content-Type": media}).status == status


def test_oauth2_credentials_must_not_be_in_the_url(upstream):
    client = upstream.oauth_client("basic")
    assert grant(upstream, client, query="?client_secret=s").status == 400
    assert grant(upstream, client, query="?tenant=1").status == 200


def test_oauth2_scope(upstream):
    client = upstream.oauth_client("basic", scope="payments read")
    assert grant(upstream, client).json["scope"] == "payments read"
    assert grant(upstream, client, scope="read").json["scope"] == "read"
    for bad in ("read write", "", "read  payments"):
        answer = grant(upstream, client, scope=bad)
        assert answer.status == 400 and answer.json["error"] == "invalid_scope"
    assert "scope" not in grant(upstream, upstream.oauth_client("basic"), scope="anything").json


@pytest.mark.parametrize("name", ["audience", "resource"])
def test_oauth2_target(upstream, name):
    client = upstream.oauth_client("basic", **{name: "https://api.example/"})
    assert grant(upstream, client, **{name: "https://api.example/"}).status == 200
    for bad in (None, "https://other.example/"):
        answer = grant(upstream, client, **{name: bad})
        assert answer.status == 400 and answer.json["error"] == "invalid_target"


def test_oauth2_resource_may_repeat(upstream):
    client = upstream.oauth_client("basic", resource=["urn:a", "urn:b"])
    assert grant(upstream, client, resource=["urn:a", "urn:b"]).status == 200
    assert grant(upstream, client, resource=["urn:a", "urn:c"]).status == 400


# --- RFC 7523 --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys():
    """Signing keys by algorithm, and the PEM of their public halves."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    rsa_key, ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())

    def pem(key):
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return key.public_key().public_bytes(encoding, form).decode()

    return {"RS256": (rsa_key, pem(rsa_key)), "PS256": (rsa_key, pem(rsa_key)), "ES256": (ec_key, pem(ec_key))}


def signed(key, alg, header, claims):
    """A compact JWS."""
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
    from cryptography.hazmat.primitives.hashes import SHA256

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = part(json.dumps(header).encode()) + "." + part(json.dumps(claims).encode())
    if alg == "RS256":
        signature = key.sign(text.encode(), padding.PKCS1v15(), SHA256())
    elif alg == "PS256":
        signature = key.sign(text.encode(), padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    else:
        r, s = utils.decode_dss_signature(key.sign(text.encode(), ec.ECDSA(SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{text}.{part(signature)}"


def assertion_of(upstream, client, keys, alg="RS256", header=None, base=None, **claims):
    """A good assertion, or with claims or header members changed (None: left out)."""
    good = {
        "iss": client["client_id"], "sub": client["client_id"], "aud": (base or upstream.http) + "/oauth2/token",
        "exp": int(time.time()) + 60, "iat": int(time.time()), "jti": str(uuid.uuid4()),
    }  # fmt: skip
    claims = {name: value for name, value in (good | claims).items() if value is not None}
    return signed(keys[alg][0], alg, {"alg": alg, "typ": "JWT", "kid": "k1"} | (header or {}), claims)


def assert_with(upstream, text, **form):
    return grant(upstream, client_assertion=text, **{"client_assertion_type": JWT_BEARER} | form)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_private_key_jwt(upstream, keys, alg):
    client = upstream.oauth_client("private_key_jwt", public_key_pem=keys[alg][1], kid="k1", alg=alg)
    text = assertion_of(upstream, client, keys, alg)
    assert assert_with(upstream, text).status == 200
    answer = assert_with(upstream, text)
    assert answer.status == 401 and "jti was used before" in answer.json["error_description"]
    named = assertion_of(upstream, client, keys, alg, aud=["urn:x", upstream.http + "/oauth2/token"])
    assert assert_with(upstream, named, client_id=client["client_id"]).status == 200
    assert upstream.stats(client["client_id"])["requests"] == 3, "sorted by iss when there is no client_id"
    tampered = assertion_of(upstream, client, keys, alg).rsplit(".", 1)[0] + "." + text.rsplit(".", 1)[1]
    assert "does not verify" in assert_with(upstream, tampered).json["error_description"]


@pytest.mark.parametrize("header, claims, reason", [
    ({}, {"iss": "x"}, "unknown client"),
    ({}, {"sub": "x"}, "iss and sub"),
    ({}, {"aud": "https://other.example/oauth2/token"}, "aud"),
    ({}, {"aud": None}, "aud"),
    ({}, {"exp": None}, "exp"),
    ({}, {"exp": int(time.time()) - 1}, "exp"),
    ({}, {"exp": int(time.time()) + 1200}, "exp"),
    ({}, {"exp": "soon"}, "exp"),
    ({}, {"iat": int(time.time()) + 300}, "iat"),
    ({}, {"nbf": int(time.time()) + 300}, "nbf"),
    ({}, {"jti": None}, "jti"),
    ({"kid": "k2"}, {}, "kid"),
    ({"alg": "none"}, {}, "alg"),
    ({"alg": "PS256"}, {}, "alg"),
    ({"typ": "at+jwt"}, {}, "typ"),
    ({"crit": ["x"]}, {}, "crit"),
])  # fmt: skip
def test_private_key_jwt_refuses(upstream, keys, header, claims, reason):
    client = upstream.oauth_client("private_key_jwt", public_key_pem=keys["RS256"][1], kid="k1", alg="RS256")
    answer = assert_with(upstream, assertion_of(upstream, client, keys, header=header, **claims))
    assert answer.status == 401 and answer.json["error"] == "invalid_client"
    assert reason in answer.json["error_description"]


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "e30.e30.", "!!.e30.e30"])
def test_private_key_jwt_refuses_garbage(upstream, keys, text):
    client = upstream.oauth_client("private_key_jwt", public_key_pem=keys["RS256"][1])
    assert assert_with(upstream, text, client_id=client["client_id"]).status == 401


def test_private_key_jwt_needs_its_assertion_type(upstream, keys):
    client = upstream.oauth_client("private_key_jwt", public_key_pem=keys["RS256"][1])
    answer = assert_with(upstream, assertion_of(upstream, client, keys), client_assertion_type="jwt")
    assert answer.status == 400 and answer.json["error"] == "invalid_request"


def test_es256_signature_is_not_der(upstream, keys):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    client = upstream.oauth_client("private_key_jwt", public_key_pem=keys["ES256"][1])
    text = assertion_of(upstream, client, keys, "ES256").rsplit(".", 1)[0]
    der = base64.urlsafe_b64encode(keys["ES256"][0].sign(text.encode(), ec.ECDSA(SHA256()))).rstrip(b"=").decode()
    assert "not DER" in assert_with(upstream, f"{text}.{der}").json["error_description"]


# --- TLS -------------------------------------------------------------------------------------------------------------


def tls(upstream, ca="ca_file", client=None):
    context = ssl.create_default_context(cafile=upstream.ready[ca])
    if client:
        context.load_cert_chain(upstream.ready[f"{client}_cert_file"], upstream.ready[f"{client}_key_file"])
    return context


def test_https(upstream):
    client = upstream.oauth_client("basic")
    assert grant(upstream, client, base=upstream.https, context=tls(upstream)).status == 200
    by_address = upstream.https.replace("localhost", "127.0.0.1")
    assert grant(upstream, client, base=by_address, context=tls(upstream)).status == 200


@pytest.mark.parametrize("name, words", [
    ("https_expired", "expired"), ("https_wrong_host", "mismatch"), ("https_untrusted", "unable to get local issuer"),
])  # fmt: skip
def test_bad_certificates(upstream, name, words):
    with pytest.raises(ssl.SSLCertVerificationError, match=words):
        call(upstream.ready[name] + "/api/ping", "GET", context=tls(upstream))


def test_the_other_ca_vouches_for_the_untrusted_one_only(upstream):
    assert call(upstream.https_untrusted + "/api/ping", "GET", context=tls(upstream, "bad_ca_file")).status == 401
    with pytest.raises(ssl.SSLCertVerificationError):
        call(upstream.https + "/api/ping", "GET", context=tls(upstream, "bad_ca_file"))


def test_old_tls_is_refused_by_today_and_spoken_to_by_yesterday(upstream):
    if upstream.https_old_tls is None:
        pytest.skip("the local OpenSSL knows no TLS 1.1")
    with pytest.raises(ssl.SSLError):
        call(upstream.https_old_tls + "/api/ping", "GET", context=tls(upstream))
    command = ["openssl", "s_client", "-connect", upstream.https_old_tls.removeprefix("https://"), "-tls1_1"]
    command += ["-cipher", "ALL:@SECLEVEL=0", "-CAfile", upstream.ca_file, "-verify_return_error"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert "Protocol  : TLSv1.1" in done.stdout, done.stderr


def test_tls_client_authentication(upstream):
    client, other = upstream.oauth_client("tls"), upstream.oauth_client("tls", tls_subject_cn="standin-other-client")
    base, form = upstream.https_mtls, {"client_id": client["client_id"]}
    assert grant(upstream, base=base, context=tls(upstream, client="client"), **form).status == 200
    answer = grant(upstream, base=base, context=tls(upstream, client="other_client"), **form)
    assert answer.status == 401 and answer.json["error"] == "invalid_client"
    form = {"client_id": other["client_id"]}
    assert grant(upstream, base=base, context=tls(upstream, client="other_client"), **form).status == 200
    assert grant(upstream, base=upstream.https, context=tls(upstream, client="client"), **form).status == 401
    secret = grant(upstream, client_id=client["client_id"], client_secret=client["client_secret"])
    assert secret.status == 401


@pytest.mark.parametrize("certificate", [None, "bad_client"])
def test_mtls_port_requires_a_certificate_of_the_ca(upstream, certificate):
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        call(upstream.https_mtls + "/api/ping", "GET", context=tls(upstream, client=certificate))


@pytest.mark.parametrize("action", [
    {"drop": "request"}, {"reset": True}, {"truncate": 5}, {"hang": True}, {"endless": True},
])  # fmt: skip
def test_faults_over_tls(upstream, action):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], **action)
    address = urllib.parse.urlsplit(upstream.https)
    with socket.create_connection((address.hostname, address.port), timeout=30) as plain:
        with tls(upstream).wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(raw_fetch(client))
            received = bytearray()
            if "hang" in action:
                upstream.wait(client["client_id"], held=1)
            elif "reset" in action:
                with pytest.raises(ConnectionResetError):
                    while socket.socket.recv(sock, 4096):  # below TLS: Python's ssl may show a reset as an end
                        pass
            else:
                while (part := sock.recv(1 << 16)) and len(received) < 1 << 20:
                    received += part
    name = "gone" if action.keys() & {"hang", "endless"} else next(iter(action))
    assert upstream.wait(client["client_id"], in_flight_max=0)["errors"] == {name: 1}
    if "truncate" in action:
        length, body = length_and_body(bytes(received))
        assert len(body) == length - 5


def test_key_files_are_private(upstream):
    for name in ("client_key_file", "other_client_key_file", "bad_client_key_file"):
        assert stat.S_IMODE(os.stat(upstream.ready[name]).st_mode) == 0o600


# --- an API call -----------------------------------------------------------------------------------------------------


def test_ping_proves_the_whole_header_set(upstream):
    client = upstream.vipps_client(msn="123456")
    token = fetch(upstream, client).json["access_token"]
    good = api_headers(client, token) | {"Merchant-Serial-Number": "123456"}
    assert upstream.ping(good) == (200, {"client": client["client_id"]})
    for changed, error in [
        ({"Authorization": f"bearer {token}"}, "scheme must be Bearer"),
        ({"Authorization": f"Bearer {token}x"}, "token unknown"),
        ({"Authorization": f"Bearer  {token}"}, "token unknown"),
        ({"Ocp-Apim-Subscription-Key": "wrong"}, "wrong subscription key"),
        ({"Merchant-Serial-Number": "654321"}, "wrong merchant serial number"),
    ]:
        assert upstream.ping(good | changed) == (401, {"error": error})
    for missing, error in [
        ("Authorization", "missing token"),
        ("Ocp-Apim-Subscription-Key", "wrong subscription key"),
        ("Merchant-Serial-Number", "wrong merchant serial number"),
    ]:
        assert upstream.ping({n: v for n, v in good.items() if n != missing}) == (401, {"error": error})
    stats = upstream.stats(client["client_id"])
    assert stats["requests"] == 1 and stats["api_ok"] == 1


def test_tokens_of_two_clients_do_not_mix(upstream):
    one, two = upstream.vipps_client(), upstream.vipps_client()
    token = fetch(upstream, one).json["access_token"]
    assert upstream.ping(api_headers(one, token)) == (200, {"client": one["client_id"]})
    assert upstream.ping(api_headers(two, token)) == (401, {"error": "wrong subscription key"})


def test_api_subscription_key_of_old_key_sets(upstream):
    client = upstream.vipps_client(api_subscription_key="for-api")
    token = fetch(upstream, client).json["access_token"]
    assert upstream.ping(api_headers(client, token))[0] == 401
    assert upstream.ping(api_headers(client, token) | {"Ocp-Apim-Subscription-Key": "for-api"})[0] == 200
    assert fetch(upstream, client, **{"Ocp-Apim-Subscription-Key": "for-api"}).status == 401


def test_oauth_tokens_need_no_subscription_key_and_get_none(upstream):
    client = upstream.oauth_client("basic")
    token = grant(upstream, client).json["access_token"]
    assert upstream.ping({"Authorization": f"Bearer {token}"}) == (200, {"client": client["client_id"]})
    headers = {"Authorization": f"Bearer {token}", "Ocp-Apim-Subscription-Key": "k"}
    assert upstream.ping(headers) == (401, {"error": "unexpected subscription key"})


def test_token_expires_by_the_upstreams_clock(alone):
    client = alone.vipps_client(lifetime=1000)
    token = fetch(alone, client).json["access_token"]
    alone.advance(960)
    assert alone.ping(api_headers(client, token))[0] == 200
    alone.advance(40)
    assert alone.ping(api_headers(client, token)) == (401, {"error": "token expired"})
    ahead = email.utils.parsedate_to_datetime(fetch(alone, client).headers["Date"]).timestamp() - time.time()
    assert 960 < ahead < 1001


def test_default_lifetime(alone):
    client, own = alone.vipps_client(), alone.vipps_client(lifetime=7)
    alone.lifetime(5)
    assert fetch(alone, client).json["expires_in"] == "5"
    assert fetch(alone, own).json["expires_in"] == "7"
    alone.lifetime(None)
    assert fetch(alone, client).json["expires_in"] == "3600"


# --- clients ---------------------------------------------------------------------------------------------------------


def test_revoking_and_restoring(upstream):
    client = upstream.vipps_client()
    name, (first, second) = client["client_id"], client["subscription_keys"]
    token = fetch(upstream, client).json["access_token"]
    upstream.revoke(name, "subscription_key", 0)
    assert fetch(upstream, client).status == 401
    assert fetch(upstream, client, **{"Ocp-Apim-Subscription-Key": second}).status == 200
    assert upstream.ping(api_headers(client, token))[0] == 401
    upstream.restore(name, "subscription_key", 0)
    assert fetch(upstream, client, **{"Ocp-Apim-Subscription-Key": first}).status == 200
    upstream.revoke(name, "secret")
    assert fetch(upstream, client).json["error"] == "invalid_client"
    upstream.revoke(name, "all")
    assert fetch(upstream, client, **{"Ocp-Apim-Subscription-Key": second}).json["statusCode"] == 401
    upstream.restore(name)
    assert fetch(upstream, client).status == 200
    upstream.revoke(name, "tokens")
    assert upstream.ping(api_headers(client, token)) == (401, {"error": "token revoked"})
    assert upstream.ping(api_headers(client, fetch(upstream, client).json["access_token"]))[0] == 200


@pytest.mark.parametrize("kind", ["vipps", "vipps-oauth", "basic", "post"])
def test_two_secrets_are_good_until_one_is_revoked(upstream, kind):
    old = upstream.vipps_client() if kind == "vipps" else upstream.oauth_client(kind)
    name, new = old["client_id"], old | {"client_secret": "the+next/one=="}

    def get(upstream, client):
        if kind == "vipps":
            return fetch(upstream, client)
        if kind != "vipps-oauth":
            return grant(upstream, client)
        plain = basic(client["client_id"], client["client_secret"], quote=str)
        return grant(upstream, path="/miami/v1/token", headers={"Authorization": plain})

    assert get(upstream, new).status == 401
    upstream.change(name, next_client_secret=new["client_secret"])
    assert (get(upstream, old).status, get(upstream, new).status) == (200, 200)
    upstream.revoke(name, "secret", 0)
    assert (get(upstream, old).status, get(upstream, new).status) == (401, 200)
    upstream.restore(name, "secret", 0)
    upstream.revoke(name, "secret", 1)
    assert (get(upstream, old).status, get(upstream, new).status) == (200, 401)
    upstream.revoke(name, "secret")
    assert (get(upstream, old).status, get(upstream, new).status) == (401, 401)
    upstream.restore(name)
    assert (get(upstream, old).status, get(upstream, new).status) == (200, 200)
    upstream.change(name, client_secret=new["client_secret"], next_client_secret=None)
    assert (get(upstream, old).status, get(upstream, new).status) == (401, 200)
    with pytest.raises(ControlError, match="no client secret 1"):
        upstream.revoke(name, "secret", 1)


def test_changing_and_removing(upstream):
    client = upstream.vipps_client()
    upstream.change(client["client_id"], client_secret="new", subscription_keys=["x"], lifetime=9)
    assert fetch(upstream, client).status == 401
    changed = client | {"client_secret": "new", "subscription_keys": ["x"]}
    assert fetch(upstream, changed).json["expires_in"] == "9"
    upstream.unregister(client["client_id"])
    assert fetch(upstream, changed).json["error"] == "unauthorized_client"
    with pytest.raises(ControlError, match="404"):
        upstream.revoke(client["client_id"])


def test_registering_ten_thousand_at_once(alone):
    many = [
        {"client_id": f"c{i}", "client_secret": f"s{i}", "subscription_keys": [f"k{i}"], "kind": "vipps"}
        for i in range(10_000)
    ]
    alone.register(many)
    assert fetch(alone, many[0]).status == fetch(alone, many[-1]).status == 200


@pytest.mark.parametrize("members", [
    {},
    {"client_id": ""},
    {"client_id": "a", "kind": "magic"},
    {"client_id": "a", "kind": "vipps", "client_secret": "s"},
    {"client_id": "a", "kind": "basic"},
    {"client_id": "a", "kind": "private_key_jwt"},
    {"client_id": "a", "kind": "private_key_jwt", "public_key_pem": "nonsense"},
    {"client_id": "a", "kind": "tls", "lifetime": 0},
    {"client_id": "a", "kind": "tls", "lifetime": "1h"},
    {"client_id": "a", "kind": "tls", "token_length": 10},
    {"client_id": "a", "kind": "tls", "basic_encoding": "hex"},
    {"client_id": "a", "kind": "tls", "colour": "red"},
    {"client_id": "a", "kind": "tls", "scope": 1},
    {"client_id": "a", "kind": "tls", "resource": [1]},
    {"client_id": "a", "kind": "tls", "token_charset": ""},
    {"client_id": "a", "client_secret": "s", "subscription_keys": "k"},
    "a",
])  # fmt: skip
def test_nonsense_is_not_registered(upstream, members):
    with pytest.raises(ControlError, match="400"):
        upstream.register([{"client_id": "fine", "kind": "tls"}, members])
    assert "fine" not in upstream.control_request("GET", "/clients")[1]["clients"]


# --- strict HTTP -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data, status", [
    (b"GET /api/ping HTTP/1.1\r\n\r\n", 400),
    (b"GET /api/ping HTTP/1.0\r\nHost: x\r\n\r\n", 505),
    (b"GET  /api/ping HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET api/ping HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /api/ping HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400),
    (b"GET /api/ping HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
    (b"GET /api/ping HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
    (b"GET /api/ping HTTP/1.1\r\nHost: x\r\nA: b\0\r\n\r\n", 400),
    (b"GET /api/ping HTTP/1.1\r\nHost: x\r\nA: b\r\na: c\r\n\r\n", 400),
    (b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    (b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400),
    (b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n", 413),
    (b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", 417),
    (b"GET /api/ping HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70000 + b"\r\n\r\n", 431),
])  # fmt: skip
def test_malformed_requests_end_the_connection(upstream, data, status):
    received, _ = raw_exchange(upstream, data)
    assert received.startswith(b"HTTP/1.1 %d " % status)


def test_keep_alive_and_pipelining(upstream):
    client = upstream.vipps_client()
    received, _ = raw_exchange(upstream, raw_fetch(client) * 2 + raw_fetch(client, close=True))
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert received.count(b"Connection: close") == 1
    stats = upstream.stats(client["client_id"])
    assert stats["requests"] == 3 and stats["connections"] == 1


# --- faults: the answer's content ------------------------------------------------------------------------------------


def faulty(upstream, **actions):
    """A fresh client under one fault, and its answer."""
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], **actions)
    return client, fetch(upstream, client)


def test_status_body_headers(upstream):
    _, answer = faulty(upstream, status=503, body={"a": 1}, headers={"Content-Type": "text/x", "X-Y": "z"})
    assert answer.status == 503 and answer.json == {"a": 1}
    assert answer.headers["Content-Type"] == "text/x" and answer.headers["X-Y"] == "z"
    assert faulty(upstream, status=500)[1].json == {"statusCode": 500, "message": "made to fail"}
    assert faulty(upstream, status=429, body="slow down")[1].text == b"slow down"
    assert faulty(upstream, body_base64=base64.b64encode(b"\xff\0").decode())[1].text == b"\xff\0"


def test_retry_after(upstream):
    assert faulty(upstream, status=429, retry_after=7)[1].headers["Retry-After"] == "7"
    assert faulty(upstream, status=429, retry_after="never")[1].headers["Retry-After"] == "never"
    date = faulty(upstream, status=503, retry_after={"date_in": 90})[1].headers["Retry-After"]
    assert 60 < email.utils.parsedate_to_datetime(date).timestamp() - time.time() < 91


def test_bodies_that_gateways_send(upstream):
    answer = faulty(upstream, html=True)[1]
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/html" and b"<html>" in answer.text
    assert faulty(upstream, empty=True)[1].text == b""
    with pytest.raises(ValueError):
        faulty(upstream, not_json=True)[1].json
    assert "access_token" not in faulty(upstream, no_access_token=True)[1].json
    assert faulty(upstream, html=True, status=502)[1].status == 502


def test_redirect(upstream):
    answer = faulty(upstream, redirect="https://elsewhere.example/")[1]
    assert answer.status == 302 and answer.headers["Location"] == "https://elsewhere.example/"
    assert faulty(upstream, redirect="/accesstoken/get", status=307)[1].status == 307


def test_echo_secrets(upstream):
    client, answer = faulty(upstream, echo_secrets=True)
    assert answer.status == 401
    for secret in (client["client_secret"], client["subscription_keys"][0]):
        assert secret in answer.json["error_description"] and secret in answer.headers["X-Received"]
    user = upstream.oauth_client("basic")
    upstream.fault(client_id=user["client_id"], echo_secrets=True)
    assert user["client_secret"] in grant(upstream, user).json["error_description"]


# --- faults: the token -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value, text", [
    ("abc", b'"expires_in":"abc"'),
    (-1, b'"expires_in":-1'),
    (0, b'"expires_in":0'),
    ({"raw": "1e99"}, b'"expires_in":1e99'),
    (None, b'"expires_in":null'),
    (1.5, b'"expires_in":1.5'),
    ("3600", b'"expires_in":"3600"'),
    ({"raw": "99999999999999999999"}, b'"expires_in":99999999999999999999'),
])  # fmt: skip
def test_expires_in_of_any_kind(upstream, value, text):
    assert text + b"," in faulty(upstream, expires_in=value)[1].text


def test_absent_members(upstream):
    absent = {"absent": True}
    answer = faulty(upstream, expires_in=absent, token_type=absent, members={"resource": absent, "new": [1]})[1].json
    assert not {"expires_in", "token_type", "resource"} & set(answer) and answer["new"] == [1]


@pytest.mark.parametrize("token", ["two\nlines", "", "a" * 70 * 1024, "nul\0", 17, None, ["a"]])
def test_token_of_any_kind(upstream, token):
    assert faulty(upstream, token=token)[1].json["access_token"] == token


def test_a_made_up_token_works(upstream):
    client, answer = faulty(upstream, token="made-up-" + str(uuid.uuid4()), token_type="mac")
    assert answer.json["token_type"] == "mac"
    assert upstream.ping(api_headers(client, answer.json["access_token"]))[0] == 200


def test_lifetime_of_one_answer(upstream):
    client, answer = faulty(upstream, lifetime=2, times=1)
    assert answer.json["expires_in"] == "2" and fetch(upstream, client).json["expires_in"] == "3600"


def test_date_skew(upstream):
    answer = faulty(upstream, date_skew=-7200)[1]
    assert answer.json["expires_in"] == "3600"
    assert abs(int(answer.json["expires_on"]) - (time.time() + 3600 - 7200)) < 30
    assert abs(email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp() - (time.time() - 7200)) < 30
    claims = answer.json["access_token"].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["exp"] == int(answer.json["expires_on"])


def test_a_refused_request_gets_no_token_from_a_fault(upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], token="x", expires_in=1)
    assert fetch(upstream, client, client_secret="wrong").status == 401


# --- faults: delivery ------------------------------------------------------------------------------------------------


def raw_faulty(upstream, close=True, **actions):
    """A fresh client under one fault; the bytes of its answer, and whether a reset ended them."""
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], **actions)
    received = raw_exchange(upstream, raw_fetch(client, close))
    return client, *received


def test_drop(upstream):
    client, received, was_reset = raw_faulty(upstream, drop="request")
    assert (received, was_reset) == (b"", False)
    assert upstream.stats(client["client_id"])["errors"] == {"drop": 1}
    _, received, _ = raw_faulty(upstream, drop="headers")
    assert received.startswith(b"HTTP/1.1 200 OK\r\n") and b"\r\n\r\n" not in received


@pytest.mark.parametrize("stage", [True, "request", "headers", "body"])
def test_reset(upstream, stage):
    _, received, was_reset = raw_faulty(upstream, reset=stage)
    assert was_reset and (stage in ("headers", "body") or received == b"")


def test_drop_and_reset_at_accept(alone):
    client = alone.vipps_client()
    alone.fault([{"drop": "accept", "times": 1, "listener": "http"}, {"reset": "accept", "times": 1}])
    address = urllib.parse.urlsplit(alone.http)
    with socket.create_connection((address.hostname, address.port), timeout=30) as sock:
        assert sock.recv(1) == b""
    # The reset may be there before the program has learnt that the connection stands.
    with pytest.raises(ConnectionResetError):
        with socket.create_connection((address.hostname, address.port), timeout=30) as sock:
            sock.recv(1)
    assert fetch(alone, client).status == 200 and alone.stats()["requests"] == 1


def length_and_body(received):
    head, _, body = received.partition(b"\r\n\r\n")
    return int(re.search(rb"Content-Length: (\d+)", head)[1]), body


def test_truncate(upstream):
    length, body = length_and_body(raw_faulty(upstream, truncate=10)[1])
    assert len(body) == length - 10
    length, body = length_and_body(raw_faulty(upstream, truncate=True)[1])
    assert 0 < len(body) < length


@pytest.mark.parametrize("how, header", [
    (True, None), ("close", None), ("chunked", b"Transfer-Encoding: chunked"), ("length", b"Content-Length: "),
])  # fmt: skip
def test_endless(upstream, how, header):
    client = upstream.vipps_client()
    name = client["client_id"]
    upstream.fault(client_id=name, endless=how)
    address = urllib.parse.urlsplit(upstream.http)
    with socket.create_connection((address.hostname, address.port), timeout=30) as sock:
        sock.sendall(raw_fetch(client))
        received = b""
        while len(received) < 1 << 20:
            received += sock.recv(1 << 16)
        head = received.partition(b"\r\n\r\n")[0]
        assert header in head if header else b"Content-Length" not in head and b"chunked" not in head
        assert upstream.stats(name)["in_flight"] == 1
    stats = upstream.wait(name, in_flight_max=0)
    assert stats["ok"] == 0 and stats["errors"] == {"gone": 1}


def test_endless_ends_after_64_mib(upstream):
    client, received, _ = raw_faulty(upstream, endless=True)
    assert 64 << 20 <= len(received) < 65 << 20
    assert upstream.wait(client["client_id"], errors=1)["errors"] == {"endless": 1}


def test_slow_body_ends_when_released(upstream):
    client = upstream.vipps_client()
    name = client["client_id"]
    upstream.fault(client_id=name, slow_body=3600)
    join = in_background(fetch, upstream, client)
    assert upstream.wait(name, held=1)["in_flight"] == 1
    assert upstream.release(name) == 1
    assert len(join().json["access_token"]) == 1400 and upstream.stats(name)["ok"] == 1


def test_slow_body_sends_byte_by_byte(upstream):
    assert faulty(upstream, slow_body=0.0001, body="slowly")[1].text == b"slowly"


def test_huge_header(upstream):
    received = raw_faulty(upstream, huge_header=True)[1]
    assert len(received.partition(b"\r\n\r\n")[0]) > 1 << 20
    assert b"X-Huge: " + b"x" * 1000 + b"\r\n" in raw_faulty(upstream, huge_header=1000)[1]


def test_status_line_and_interim(upstream):
    assert raw_faulty(upstream, status_line="BANANA")[1].startswith(b"BANANA\r\nContent-Type: ")
    received = raw_faulty(upstream, interim_100=3)[1]
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\n")
    assert raw_faulty(upstream, interim_100=True)[1].count(b"100 Continue") == 1
    assert raw_faulty(upstream, reason="Very Fine")[1].startswith(b"HTTP/1.1 200 Very Fine\r\n")


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_framing(upstream, framing):
    answer = faulty(upstream, framing=framing)[1]
    assert len(answer.json["access_token"]) == 1400
    assert (answer.headers["Content-Length"] is not None) == (framing == "length")
    assert (answer.headers["Transfer-Encoding"] == "chunked") == (framing == "chunked")
    assert faulty(upstream, framing=framing, empty=True)[1].text == b""


@pytest.mark.parametrize("how, says", [(True, True), ("silent", False)])
def test_close_after(upstream, how, says):
    _, received, _ = raw_faulty(upstream, close=False, close_after=how)
    length, body = length_and_body(received)
    assert len(body) == length and (b"Connection: close" in received) == says


# --- faults: waiting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [{"hang": True}, {"delay": 3600}])
def test_held_until_faults_are_cleared(alone, action):
    client = alone.vipps_client()
    alone.fault(client_id=client["client_id"], **action)
    join = in_background(fetch, alone, client)
    assert alone.wait(client["client_id"], held=1)["ok"] == 0
    assert alone.release(client["client_id"]) == 1
    assert join().status == 200
    join = in_background(fetch, alone, client)
    alone.wait(client["client_id"], held=1)
    alone.clear()
    assert join().status == 200 and alone.stats()["held"] == 0


def test_a_held_token_was_issued_on_arrival(alone):
    client = alone.vipps_client(lifetime=100)
    alone.fault(client_id=client["client_id"], hang=True)
    join = in_background(fetch, alone, client)
    alone.wait(client["client_id"], held=1)
    alone.advance(101)
    alone.release()
    assert alone.ping(api_headers(client, join().json["access_token"])) == (401, {"error": "token expired"})


def test_delay_of_moments(upstream):
    before = time.monotonic()
    assert faulty(upstream, delay=0.05)[1].status == 200
    assert time.monotonic() - before >= 0.05


def test_a_client_that_hangs_up_ends_its_wait(upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], hang=True)
    address = urllib.parse.urlsplit(upstream.http)
    sock = socket.create_connection((address.hostname, address.port), timeout=30)
    sock.sendall(raw_fetch(client))
    upstream.wait(client["client_id"], in_flight=1)
    sock.close()
    assert upstream.wait(client["client_id"], in_flight_max=0)["errors"] == {"gone": 1}


# --- faults: rules ---------------------------------------------------------------------------------------------------


def test_rules_are_a_script(upstream):
    client = upstream.vipps_client()
    name = client["client_id"]
    upstream.fault([
        {"client_id": name, "status": 500, "times": 2},
        {"client_id": name, "status": 503, "skip": 1, "times": 1},
    ])  # fmt: skip
    assert [fetch(upstream, client).status for _ in range(5)] == [500, 500, 200, 503, 200]
    stats = upstream.stats(name)
    assert stats["errors"] == {"500": 2, "503": 1} and stats["ok"] == 2 and stats["faulted"] == 3
    assert [rule["hits"] for rule in upstream.faults() if rule.get("client_id") == name] == [2, 1]


def test_filters(upstream):
    one, two = upstream.vipps_client(), upstream.vipps_client()
    token = fetch(upstream, one).json["access_token"]
    number = upstream.fault(client_id=one["client_id"], status=500)[0]
    assert fetch(upstream, one).status == 500 and fetch(upstream, two).status == 200
    assert upstream.ping(api_headers(one, token))[0] == 200, "without a path, only token requests"
    upstream.fault(client_id=one["client_id"], path="/API/ping", status=503)
    assert upstream.ping(api_headers(one, token))[0] == 503
    upstream.clear(number)
    assert fetch(upstream, one).status == 200
    upstream.fault(client_id=two["client_id"], listener="https", status=500)
    assert fetch(upstream, two).status == 200


def test_clearing_all(alone):
    client = alone.vipps_client()
    alone.fault(status=500)
    assert fetch(alone, client).status == 500 and fetch(alone, client, "/nowhere").status == 500
    alone.clear()
    assert fetch(alone, client).status == 200 and alone.faults() == []


@pytest.mark.parametrize("rule", [
    {},
    {"client_id": "x"},
    {"explode": True},
    {"status": 99},
    {"status": "500"},
    {"hang": False},
    {"delay": -1},
    {"status": 500, "times": 0},
    {"status": 500, "skip": -1},
    {"html": True, "empty": True},
    {"drop": "request", "truncate": True},
    {"drop": "later"},
    {"drop": "accept", "client_id": "x"},
    {"drop": "accept", "path": "/x"},
    {"headers": {"A": 1}},
    {"retry_after": {"in": 1}},
    {"retry_after": None},
    {"status": 500, "client_id": 1},
    {"retry_after": {"date_in": "soon"}},
    {"body_base64": "!"},
    {"expires_in": {"raw": 1}},
    {"members": {"x": {"raw": None}}},
    [],
    "status",
])  # fmt: skip
def test_nonsense_is_no_rule(alone, rule):
    with pytest.raises(ControlError, match="400"):
        alone.fault([{"status": 500}, rule])
    assert alone.faults() == []


# --- what arrived ----------------------------------------------------------------------------------------------------


def test_stats(upstream):
    client = upstream.vipps_client()
    name, before = client["client_id"], time.monotonic()
    fetch(upstream, client)
    fetch(upstream, client, client_secret="wrong")
    stats = upstream.stats(name)
    assert stats["requests"] == 2 and stats["ok"] == stats["issued"] == 1 and stats["errors"] == {"401": 1}
    assert stats["in_flight"] == 0 and stats["max_in_flight"] == 1 and stats["connections"] == 2
    assert before < stats["first_at"] < stats["last_at"] < time.monotonic()
    last = stats["last_request"]
    assert last["method"] == "POST" and last["target"] == "/accesstoken/get"
    assert {"client_id", "client_secret", "Ocp-Apim-Subscription-Key"} <= set(last["header_names"])
    assert last["headers"]["client_id"] == name
    assert not {"client_secret", "Ocp-Apim-Subscription-Key", "Authorization"} & set(last["headers"])
    total = upstream.stats()
    assert total["clients"][name] == stats and total["requests"] >= 2
    assert total["listeners"]["http"]["accepted"] >= 2 and total["listeners"]["silent"]["listening"]


def test_max_in_flight(upstream):
    client = upstream.vipps_client()
    upstream.fault(client_id=client["client_id"], hang=True)
    joins = [in_background(fetch, upstream, client) for _ in range(5)]
    assert upstream.wait(client["client_id"], requests=5, held=5)["in_flight"] == 5
    assert upstream.release(client["client_id"]) == 5
    assert [join().status for join in joins] == [200] * 5
    stats = upstream.stats(client["client_id"])
    assert stats["max_in_flight"] == 5 and stats["in_flight"] == 0 and stats["ok"] == 5


def test_request_log(upstream):
    client = upstream.oauth_client("post")
    grant(upstream, client)
    first = upstream.requests(client["client_id"])
    assert len(first) == 1 and first[0]["path"] == "/oauth2/token" and first[0]["status"] == 200
    assert urllib.parse.parse_qs(first[0]["body"])["client_secret"] == [client["client_secret"]]
    assert first[0]["headers"]["Content-Type"] == FORM and abs(first[0]["epoch"] - time.time()) < 30
    grant(upstream, client)
    later = upstream.requests(client["client_id"], since=first[0]["serial"])
    assert len(later) == 1 and later[0]["connection"] != first[0]["connection"] and later[0]["at"] > first[0]["at"]


def test_wait_ends_with_the_event(upstream):
    client = upstream.vipps_client()
    join = in_background(upstream.wait, client["client_id"], requests=2, ok=2)
    fetch(upstream, client)
    fetch(upstream, client)
    assert join()["requests"] == 2


def test_wait_times_out(upstream):
    with pytest.raises(WaitTimeout):
        upstream.wait(str(uuid.uuid4()), requests=1, timeout=0)
    with pytest.raises(ControlError, match="400"):
        upstream.wait("nobody")
    with pytest.raises(ControlError, match="400"):
        upstream.wait("nobody", tea=1)


def test_control_refuses_nonsense(upstream):
    assert upstream.control_request("GET", "/nowhere")[0] == 404
    assert upstream.control_request("PUT", "/faults")[0] == 405
    assert call(upstream.control + "/faults", body=b"{", headers={"Content-Length": "1"}).status == 400
    assert upstream.control_request("GET", "/health") == (200, {"ok": True})
    for path in ("/release", "/clock", "/lifetime", "/down"):
        assert upstream.control_request("POST", path, [1])[0] == 400


# --- the whole process -----------------------------------------------------------------------------------------------


def test_down_and_up_on_the_same_port(alone):
    client = alone.vipps_client()
    address = urllib.parse.urlsplit(alone.http)
    idle = socket.create_connection((address.hostname, address.port), timeout=30)
    alone.wait(accepted=1, listener="http")
    alone.down("http")
    assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        fetch(alone, client)
    alone.up()
    assert fetch(alone, client).status == 200


def test_close_connections(alone):
    client = alone.vipps_client()
    address = urllib.parse.urlsplit(alone.http)
    with socket.create_connection((address.hostname, address.port), timeout=30) as sock:
        sock.sendall(raw_fetch(client))
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        assert alone.close_connections("http") == 1
        while sock.recv(1 << 16):
            pass


def test_silent_and_refused_ports(alone):
    address = urllib.parse.urlsplit(alone.silent)
    with socket.create_connection((address.hostname, address.port), timeout=30) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        alone.wait(listener="silent", accepted=1)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    with pytest.raises(ConnectionRefusedError):
        call(alone.refused + "/", "GET")


def test_reset_forgets_everything(alone):
    client = alone.vipps_client()
    token = fetch(alone, client).json["access_token"]
    alone.fault(status=500)
    alone.lifetime(5)
    alone.advance(1000)
    alone.down("http")
    alone.reset()
    assert alone.faults() == [] and alone.stats()["requests"] == 0 and alone.requests() == []
    assert alone.ping(api_headers(client, token)) == (401, {"error": "token unknown"})
    alone.register(client)
    answer = fetch(alone, client)
    assert answer.json["expires_in"] == "3600"
    assert abs(email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()) < 30


def test_many_connections_at_once(alone):
    """Everybody is answered when a daemon with very many profiles starts."""
    client = alone.vipps_client()
    address = urllib.parse.urlsplit(alone.http)
    socks = [socket.create_connection((address.hostname, address.port), timeout=30) for _ in range(1000)]
    for sock in socks:
        sock.sendall(raw_fetch(client, close=True))
    alone.wait(client["client_id"], ok=1000)
    for sock in socks:
        with sock:
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_ready_file_is_the_printed_line(upstream):
    ready = json.loads((pathlib.Path(upstream.state_dir) / "ready.json").read_text())
    assert ready == upstream.ready
    names = {"http", "https", "https_expired", "https_wrong_host", "https_untrusted", "https_old_tls", "https_mtls"}
    names |= {"control", "ca_file", "bad_ca_file", "client_cert_file", "client_key_file", "silent", "refused"}
    assert names <= set(ready)


def test_only_loopback_is_bound(alone):
    table = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False).stdout
    if f"pid={alone.pid}," not in table:
        pytest.skip("ss shows no processes here")
    local = [line.split()[3] for line in table.splitlines() if f"pid={alone.pid}," in line]
    assert local and all(one.startswith(("127.0.0.1:", "[::1]:")) for one in local)


def start_plain(*arguments, **keywords):
    command = [str(PROGRAM), "--no-tls", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keywords)
    return process, json.loads(process.stdout.readline() or "null")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(number):
    process, ready = start_plain(stdin=subprocess.DEVNULL)
    assert os.path.isdir(ready["state_dir"])
    address = urllib.parse.urlsplit(ready["control"])
    with socket.create_connection((address.hostname, address.port), timeout=30) as waiting:
        waiting.sendall(b"GET /wait?requests=1&timeout=600 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert call(ready["control"] + "/health", "GET").status == 200
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("", "") and process.returncode == 0
    assert not os.path.exists(ready["state_dir"]), "a temporary folder is removed"


def test_end_of_stdin_ends_it():
    process, _ = start_plain("--exit-with-stdin", stdin=subprocess.PIPE)
    assert process.communicate("ignored\n", timeout=30) == ("", "") and process.returncode == 0


def test_life_limit(tmp_path):
    process, _ = start_plain("--max-seconds", "0.2", "--state-dir", str(tmp_path / "s"), stdin=subprocess.DEVNULL)
    assert "ended after --max-seconds 0.2" in process.communicate(timeout=30)[1] and process.returncode == 3


def test_chosen_port_clients_file_and_log(tmp_path):
    with Standin("--no-tls") as first:
        port = urllib.parse.urlsplit(first.http).port
        process, ready = start_plain("--http", str(port), stdin=subprocess.DEVNULL)
        assert process.wait(30) == 1 and ready is None and "in use" in process.communicate()[1]
    clients, log = tmp_path / "clients.json", tmp_path / "log"
    client = {"client_id": "a", "client_secret": "logged", "subscription_keys": ["k"]}
    clients.write_text(json.dumps([client]))
    with Standin("--no-tls", "--clients", clients, "--log", log) as one:
        assert fetch(one, client).status == 200
        assert json.loads(log.read_text())["headers"]["client_secret"] == "logged"
        assert "logged" not in one.stderr


def test_standin_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match="unrecognized arguments"):
        Standin("--nonsense").start()
