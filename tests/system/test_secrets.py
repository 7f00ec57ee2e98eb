# SPDX-License-Identifier: MIT
"""Canaries: keys and tokens of known values go through success and every failure, at --log-level debug, with an
upstream that repeats what it was sent. They may turn up in the answers that are there to hold them and nowhere
else."""

import base64
import json
import os
import urllib.parse

import pytest
from lib import profiles

SECRET = "kEy/Canary+{}=with:odd&chars%41=="
# Each request is one that a test forces, and meets the fault that it has set.
SLOW = {"RetryMin": "30s", "RetryMax": "60s"}
PLAIN_SECRET = "paper tigers yawn"  # as some people make them: nothing but its value tells that it is one


def forms(value):
    """A secret as it might slip out: whole, in the usual encodings, or a good piece of it."""
    raw = value.encode()
    encoded = {value, urllib.parse.quote_plus(value), urllib.parse.quote(value, safe=""), raw.hex()}
    encoded |= {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    encoded |= {json.dumps(value)[1:-1], value.replace("/", "\\/")}
    middle = len(value) // 2
    return encoded | {value[middle - 8 : middle + 8]}


class Watcher:
    """Collects everything the daemon says, and looks for what it must not say."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.secrets = {}  # name to value
        self.seen = {}  # place to text

    def add(self, name, value):
        self.secrets[name] = value

    def look(self, place, profile):
        """Every answer that must hold no secret."""
        for target in ("/v1/profiles", f"/v1/profiles/{profile}", "/readyz", "/metrics", "/healthz"):
            self.seen[f"{place} {target}"] = self.daemon.get(target).text
        for target in (f"/v1/profiles/{profile}/token?wait=0", f"/v1/profiles/{profile}/headers?wait=0"):
            answer = self.daemon.get(target)
            if answer.status != 200:
                self.seen[f"{place} {target}"] = str(answer.headers) + answer.text

    def look_around(self):
        """Logs, messages to the manager, what the kernel shows of the process, files."""
        pid = self.daemon.pid
        self.seen["log"] = self.daemon.log.text
        self.seen["sd_notify"] = repr(self.daemon.manager.items)
        for name in ("cmdline", "environ", "comm", "status"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                self.seen[f"/proc/{name}"] = file.read().decode("latin-1")
        files = [path for path in self.daemon.folder.rglob("*") if path.is_file()]
        files += [os.path.realpath(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        for path in map(str, files):
            if os.path.isfile(path) and os.path.dirname(path) != str(self.daemon.key_folder):
                with open(path, "rb") as file:
                    self.seen[path] = file.read().decode("latin-1")

    def check(self):
        for name, value in self.secrets.items():
            for form in forms(value):
                for place, text in self.seen.items():
                    assert form not in text, f"{name} as {form!r} in {place}: ...{text[text.index(form) - 200:][:600]}"


def bodies(secret, token):
    """Answers that quote what they should not."""
    quoting = f"the key '{secret}' is unknown"
    return {
        "echo": {"echo_secrets": True},
        "oauth": {"status": 401, "body": {"error": "invalid_client", "error_description": quoting}},
        "gateway": {"status": 401, "body": {"statusCode": 401, "message": f"Access denied for {secret}"}},
        "problem": {"status": 400, "body": {"title": quoting, "detail": secret + secret}},
        "text": {"status": 500, "body": f"panic: {secret}", "headers": {"Content-Type": "text/plain"}},
        "pieces": {"status": 500, "body": f"{secret[:18]}... {secret[12:]}", "headers": {"Content-Type": "text/plain"}},
        "encoded": {"status": 401, "body": {"error": "x", "error_description": urllib.parse.quote_plus(secret)}},
        "base64": {"status": 401, "body": {"error": base64.b64encode(secret.encode()).decode()}},
        "html": {"status": 403, "body": f"<html>{secret}</html>", "headers": {"Content-Type": "text/html"}},
        "header": {"status": 503, "headers": {"X-Debug": secret, "Content-Type": secret}},
        "reason": {"status": 503, "reason": secret},
        "location": {"redirect": f"https://{urllib.parse.quote(secret, safe='')}.example/?{secret}"},
        "retry-after": {"status": 429, "retry_after": secret},
        "refused-token": {"status": 400, "body": {"access_token": token, "error": "x", "message": token}},
        "others-token": {"status": 401, "body": {"error": "x", "error_description": f"not {token} again"}},
        "token-no-life": {"token": token, "expires_in": "soon"},
        "token-as-type": {"token_type": token},
        "token-as-life": {"expires_in": token},
        "bare-token": {"body": token, "headers": {"Content-Type": "text/plain"}},
        "cut": {"truncate": 30},
        "cut-headers": {"drop": "headers"},
        "not-http": {"status_line": f"HTTQ/1.1 {secret}"},
    }


def test_canaries(daemon, upstream):
    watcher = Watcher(daemon)
    vipps = upstream.vipps_client(
        client_secret=SECRET.format("vipps"),
        subscription_keys=["CANARYsubscription0123456789abcd", "unused"],
        api_subscription_key="CANARYapi0123456789abcdef0123456",
    )
    oauth = upstream.oauth_client("vipps-oauth", client_secret=SECRET.format("oauth"))
    basic = upstream.oauth_client("basic", client_secret=PLAIN_SECRET)
    post = upstream.oauth_client("post", client_secret=SECRET.format("post"))
    profiles.vipps(daemon, "vipps", upstream, vipps, refresh=SLOW)
    profiles.vipps_oauth(daemon, "oauth", upstream, oauth, refresh=SLOW)
    profiles.oauth2(daemon, "basic", upstream, basic, "basic", refresh=SLOW)
    profiles.oauth2(daemon, "post", upstream, post, "post", refresh=SLOW)
    clients = {"vipps": vipps, "oauth": oauth, "basic": basic, "post": post}
    for name, client in clients.items():
        watcher.add(f"secret of {name}", client["client_secret"])
    watcher.add("subscription key", vipps["subscription_keys"][0])
    watcher.add("API subscription key", vipps["api_subscription_key"])
    daemon.start("--log-level", "debug")
    for name, client in clients.items():
        watcher.add(f"token of {name}", daemon.token(name)["access_token"])
        watcher.look("fresh", name)
        canary = f"eyJjYW5hcnk.{name}Canary0123456789.{'abcdefgh' * 8}"
        watcher.add(f"made-up token of {name}", canary)
        for fault, rule in bodies(client["client_secret"], canary).items():
            [number] = upstream.fault({"client_id": client["client_id"], **rule})
            answer = daemon.call("POST", f"/v1/profiles/{name}/refresh")
            assert answer.status == 503, fault
            watcher.seen[f"{fault} refresh of {name}"] = str(answer.headers) + answer.text
            watcher.look(fault, name)
            upstream.clear(number)
        assert daemon.call("POST", f"/v1/profiles/{name}/refresh").status == 200
        watcher.add(f"second token of {name}", daemon.token(name)["access_token"])
        watcher.look("recovered", name)
    daemon.get("/v1/profiles/vipps/token?min_ttl=99999")
    watcher.look_around()
    daemon.stop()
    watcher.seen["whole log"] = daemon.log.text
    watcher.check()


def test_canaries_of_a_cold_profile(daemon, upstream):
    """The same without any token: the words go into the answers to callers, too."""
    watcher = Watcher(daemon)
    clients = {}
    canary = "eyJjYW5hcnk.coldCanary0123456789." + "abcdefgh" * 8
    watcher.add("token", canary)
    for fault, rule in bodies(SECRET.format("cold"), canary).items():
        client = upstream.vipps_client(client_secret=SECRET.format("cold"))
        upstream.fault({"client_id": client["client_id"], **rule})
        profiles.vipps(daemon, fault, upstream, client, refresh=SLOW)
        clients[fault] = client
        watcher.add(f"subscription key of {fault}", client["subscription_keys"][0])
    watcher.add("secret", SECRET.format("cold"))
    daemon.start("--log-level", "debug")
    for fault in clients:
        watcher.look("cold", fault)
        assert daemon.status(fault)["state"] == "failed", fault
    watcher.look_around()
    watcher.check()


def test_the_answers_that_hold_them_are_not_cached(daemon, upstream):
    client = upstream.vipps_client()
    profiles.vipps(daemon, "shop", upstream, client)
    daemon.start()
    for target in ("/v1/profiles/shop/token", "/v1/profiles/shop/headers"):
        answer = daemon.get(target)
        assert answer.headers["Cache-Control"] == "no-store"
        assert client["client_secret"] not in answer.text


@pytest.mark.parametrize(
    "text",
    [
        "[Profile]\nProvider=vipps\nEnvironment=test\nkEyCanary0123456789\n",
        "[Profile]\nProvider=kEyCanary0123456789\n",
        "[Keys]\nClientSecret=kEyCanary0123456789\nSubscriptionKey=kEyCanary0123456789\n",
        "[kEyCanary0123456789\n",
        "[Profile]\nProvider=vipps\nBaseURL=https://u:kEyCanary0123456789@x.example\n",
        "[Refresh]\nTimeout=kEyCanary0123456789\n",
        "[Headers]\nAuthorization=Bearer kEyCanary0123456789\nClient_Secret=kEyCanary0123456789\n",
        "[Keys]\nkEyCanary0123456789=x\n",
        "[Profile]\nProvider=vipps\nEnvironment=test\n[Keys]\nClientSecretFile=kEyCanary0123456789\n",
    ],
)
def test_settings_with_a_secret_in_the_wrong_place(daemon, text):
    """Problems name the place and the key, never the value."""
    daemon.profile("shop", text)
    for arguments in (["--check"], ["--log-level", "debug"]):
        result = daemon.run(*arguments)
        assert result.returncode == 78
        assert "Canary" not in result.stderr and "Canary" not in result.stdout


def test_a_key_file_of_the_wrong_form_is_not_quoted(daemon):
    path = daemon.key("secret", "kEyCanary0123456789\nkEyCanaryAgain\n")
    daemon.profile(
        "shop",
        {
            "Profile": {"Provider": "vipps-oauth", "Environment": "test"},
            "Keys": {"ClientID": "id", "ClientSecretFile": path},
        },
    )
    result = daemon.run("--log-level", "debug")
    assert result.returncode == 78
    assert "Canary" not in result.stderr
