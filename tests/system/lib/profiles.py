# SPDX-License-Identifier: MIT
"""Profiles for the key sets of the stand-in: each writes the settings file and its key files.

`upstream` is the stand-in (client.py), `client` a key set as it was registered there. All take

allow    a rule or a list of rules; None: no [Access] at all
refresh  keys of [Refresh] over REFRESH, headers for [Headers], profile and keys for more of [Profile] and [Keys]
base     another listener of the stand-in than its plain http one
"""

from .settings import TIME_FACTOR

# Quick to retry, so that nobody waits, and patient with an upstream, so that no loaded machine makes a time-out.
REFRESH = {"RetryMin": "100ms", "RetryMax": "400ms", "Timeout": f"{int(30 * TIME_FACTOR)}s"}


def write(daemon, name, profile, keys, allow="any", refresh=None, headers=None):
    """The settings file of a profile from its parts; values of None are left out."""
    sections = {
        "Profile": profile,
        "Keys": keys,
        "Headers": headers or {},
        "Refresh": REFRESH | (refresh or {}),
        "Access": {} if allow is None else {"Allow": allow},
    }
    for section in sections.values():
        for key in [key for key, value in section.items() if value is None]:
            del section[key]
    return daemon.profile(name, {title: section for title, section in sections.items() if section})


def vipps(daemon, name, upstream, client, base=None, profile=None, keys=None, **rest):
    """Provider=vipps."""
    own_keys = {
        "ClientID": client["client_id"],
        "ClientSecretFile": daemon.key(f"{name}.client-secret", client["client_secret"] + "\n"),
        "SubscriptionKeyFile": daemon.key(f"{name}.subscription-key", client["subscription_keys"][0] + "\n"),
    }
    if client.get("api_subscription_key"):
        own_keys["APISubscriptionKeyFile"] = daemon.key(f"{name}.api-key", client["api_subscription_key"])
    headers = {"Merchant-Serial-Number": client["msn"]} if client.get("msn") else {}
    headers |= rest.pop("headers", None) or {}
    profile = {"Provider": "vipps", "BaseURL": base or upstream.http, **(profile or {})}
    return write(daemon, name, profile, own_keys | (keys or {}), headers=headers, **rest)


def vipps_oauth(daemon, name, upstream, client, base=None, profile=None, keys=None, **rest):
    """Provider=vipps-oauth."""
    own_keys = {
        "ClientID": client["client_id"],
        "ClientSecretFile": daemon.key(f"{name}.client-secret", client["client_secret"] + "\n"),
    }
    headers = {"Merchant-Serial-Number": client["msn"]} if client.get("msn") else {}
    headers |= rest.pop("headers", None) or {}
    profile = {"Provider": "vipps-oauth", "BaseURL": base or upstream.http, **(profile or {})}
    return write(daemon, name, profile, own_keys | (keys or {}), headers=headers, **rest)


def oauth2(daemon, name, upstream, client, auth="basic", base=None, profile=None, keys=None, **rest):
    """Provider=oauth2. For basic and post the secret is the client's; the other ways name theirs in `keys`."""
    own_keys = {"ClientID": client["client_id"]}
    if auth in ("basic", "post"):
        own_keys["ClientSecretFile"] = daemon.key(f"{name}.client-secret", client["client_secret"])
    profile = {
        "Provider": "oauth2",
        "TokenURL": f"{base or upstream.http}/oauth2/token",
        "ClientAuth": auth,
        **(profile or {}),
    }
    return write(daemon, name, profile, own_keys | (keys or {}), **rest)
