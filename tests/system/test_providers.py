# SPDX-License-Identifier: MIT
"""Every kind of key set: the daemon gets a token by it, sends what the kind asks for and nothing else, and the header
set it hands out is one that the upstream's API takes."""

import subprocess

import pytest
from lib import profiles


def check(daemon, upstream, client, profile="issuer", absent=("Ocp-Apim-Subscription-Key",)):
    """Starts; the header set passes at the API. Returns (token request as it arrived, header set)."""
    daemon.start()
    headers = daemon.headers(profile)
    assert upstream.ping(headers) == (200, {"client": client["client_id"]})
    assert not set(absent) & set(headers)
    [request] = [r for r in upstream.requests(client["client_id"]) if r["is_token_request"]]
    assert request["method"] == "POST"
    return request, headers


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


def test_vipps(daemon, upstream):
    client = upstream.vipps_client(msn="654321")
    profiles.vipps(daemon, "issuer", upstream, client, headers={"Vipps-System-Name": "acme"})
    request, headers = check(daemon, upstream, client, absent=())
    sent = lower(request["headers"])
    assert request["path"] == "/accesstoken/get"
    assert request["body"] == "" and sent["content-length"] == "0"
    assert sent["client_id"] == client["client_id"]
    assert sent["client_secret"] == client["client_secret"]
    assert sent["ocp-apim-subscription-key"] == client["subscription_keys"][0]
    assert (sent["merchant-serial-number"], sent["vipps-system-name"]) == ("654321", "acme")
    assert not {"authorization", "content-type", "expect", "cookie"} & set(sent)
    assert sent["user-agent"].startswith("bearerd/") if "user-agent" in sent else True
    assert daemon.status("issuer")["provider"] == "vipps"


def test_vipps_with_a_subscription_key_of_its_own_for_the_api(daemon, upstream):
    client = upstream.vipps_client(api_subscription_key="0123456789abcdef0123456789abcdef")
    profiles.vipps(daemon, "issuer", upstream, client)
    request, headers = check(daemon, upstream, client, absent=())
    assert lower(request["headers"])["ocp-apim-subscription-key"] == client["subscription_keys"][0]
    assert headers["Ocp-Apim-Subscription-Key"] == client["api_subscription_key"]


def test_vipps_oauth(daemon, upstream):
    client = upstream.oauth_client("vipps-oauth", msn="654321")
    profiles.vipps_oauth(daemon, "issuer", upstream, client)
    request, headers = check(daemon, upstream, client)
    assert request["path"] == "/miami/v1/token"
    assert request["body"] == "grant_type=client_credentials"
    assert lower(request["headers"])["authorization"].startswith("Basic ")
    assert headers["Merchant-Serial-Number"] == "654321"
    assert daemon.token("issuer")["expires_in"] <= 900


def test_vipps_oauth_at_the_new_path(daemon, upstream):
    client = upstream.oauth_client("vipps-oauth")
    profiles.vipps_oauth(daemon, "issuer", upstream, client, profile={"TokenPath": "/authentication/v1/token"})
    request, _ = check(daemon, upstream, client)
    assert request["path"] == "/authentication/v1/token"


def test_base_url_with_a_path_and_a_slash(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "issuer", upstream, client, base=upstream.http + "/")
    request, _ = check(daemon, upstream, client, absent=())
    assert request["path"] == "/accesstoken/get"


@pytest.mark.parametrize("auth", ["basic", "post"])
def test_oauth2_with_a_secret(daemon, upstream, auth):
    secret = "s3cret: with/odd+chars&and=more %41"
    client = upstream.oauth_client(auth, client_secret=secret, client_id="id with space:and+" + auth)
    profiles.oauth2(daemon, "issuer", upstream, client, auth)
    request, _ = check(daemon, upstream, client)
    assert ("authorization" in lower(request["headers"])) == (auth == "basic")
    assert ("client_secret" in request["body"]) == (auth == "post")


def test_oauth2_scope_audience_and_resources(daemon, upstream):
    client = upstream.oauth_client(
        "basic", scope="read payments", audience="https://api.example/", resource=["https://a.example", "urn:b"]
    )
    profiles.oauth2(
        daemon,
        "issuer",
        upstream,
        client,
        profile={
            "Scope": "payments read",
            "Audience": "https://api.example/",
            "Resource": ["https://a.example", "urn:b"],
        },
    )
    request, _ = check(daemon, upstream, client)
    assert request["body"].count("resource=") == 2


def make_key(daemon, name, *arguments):
    """A private key by openssl(1); (its path with mode 0600, its public half as PEM)."""
    path = daemon.key(name, "")
    subprocess.run(["openssl", "genpkey", *arguments, "-out", path], check=True, capture_output=True)
    path.chmod(0o600)
    public = subprocess.run(["openssl", "pkey", "-in", path, "-pubout"], check=True, capture_output=True, text=True)
    return path, public.stdout


RSA = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
EC = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


@pytest.mark.parametrize("algorithm, kind", [("RS256", RSA), ("PS256", RSA), ("ES256", EC)])
def test_private_key_jwt(daemon, upstream, algorithm, kind):
    path, public = make_key(daemon, "signing.pem", *kind)
    client = upstream.register(
        {
            "kind": "private_key_jwt",
            "client_id": f"jwt-{daemon.folder.name}",
            "public_key_pem": public,
            "kid": "key-1",
            "alg": algorithm,
        }
    )
    profiles.oauth2(
        daemon,
        "issuer",
        upstream,
        client,
        "private-key-jwt",
        profile={"SigningAlgorithm": algorithm, "SigningKeyID": "key-1"},
        keys={"SigningKeyFile": path},
    )
    request, _ = check(daemon, upstream, client)
    assert "client_assertion=" in request["body"]
    # The next request is signed anew: an assertion is good for one.
    assert daemon.call("POST", "/v1/profiles/issuer/refresh").status == 200
    assert daemon.token("issuer")["generation"] == 2


def test_tls_client_certificate(daemon, upstream):
    client = upstream.register({"kind": "tls", "client_id": f"tls-{daemon.folder.name}"})
    profiles.oauth2(
        daemon,
        "issuer",
        upstream,
        client,
        "tls",
        base=upstream.https_mtls,
        profile={"TLSCertificateFile": upstream.client_cert_file, "CAFile": upstream.ca_file},
        keys={"TLSKeyFile": daemon.key("tls.key", open(upstream.client_key_file).read())},
    )
    request, _ = check(daemon, upstream, client)
    assert request["listener"] == "https_mtls"
    assert "authorization" not in lower(request["headers"])


def test_tls_with_a_certificate_of_another_client(daemon, upstream):
    client = upstream.register({"kind": "tls", "client_id": f"tls-{daemon.folder.name}"})
    profiles.oauth2(
        daemon,
        "issuer",
        upstream,
        client,
        "tls",
        base=upstream.https_mtls,
        profile={"TLSCertificateFile": upstream.other_client_cert_file, "CAFile": upstream.ca_file},
        keys={"TLSKeyFile": daemon.key("tls.key", open(upstream.other_client_key_file).read())},
    )
    daemon.start()
    error = daemon.status("issuer")["last_error"]
    assert (error["reason"], error["http_status"]) == ("invalid-keys", 401)


def test_https_with_a_ca_file(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "issuer", upstream, client, base=upstream.https, profile={"CAFile": upstream.ca_file})
    request, _ = check(daemon, upstream, client, absent=())
    assert request["listener"] == "https"


def test_credentials_of_the_service_manager(daemon, upstream):
    client = upstream.vipps_client(api_subscription_key="fedcba9876543210fedcba9876543210")
    folder = daemon.folder / "credentials"
    folder.mkdir(mode=0o700)
    for suffix, value in {
        "client-secret": client["client_secret"] + "\n",
        "subscription-key": client["subscription_keys"][0],
        "api-subscription-key": client["api_subscription_key"] + "\n",
    }.items():
        path = folder / f"issuer.{suffix}"
        path.write_text(value)
        path.chmod(0o400)
    daemon.environment["CREDENTIALS_DIRECTORY"] = str(folder)
    profiles.write(
        daemon,
        "issuer",
        {"Provider": "vipps", "BaseURL": upstream.http},
        {"ClientID": client["client_id"]},
    )
    _, headers = check(daemon, upstream, client, absent=())
    assert headers["Ocp-Apim-Subscription-Key"] == client["api_subscription_key"]


def test_connections_to_the_upstream_are_kept_but_not_needed(daemon, own_upstream):
    """An idle connection that the upstream closed is no failure: the request is sent on a new one."""
    client = own_upstream.vipps_client()
    profiles.vipps(daemon, "issuer", own_upstream, client)
    daemon.start()
    for _ in range(3):
        own_upstream.close_connections()
        assert daemon.call("POST", "/v1/profiles/issuer/refresh").status == 200
    status = daemon.status("issuer")
    assert (status["generation"], status["last_error"]) == (4, None)
