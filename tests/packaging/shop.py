# SPDX-License-Identifier: MIT
"""The profile `shop` on a system where the packages are installed, and what is to be seen of it."""

import json

SETTINGS = "/etc/bearerd/bearerd.conf"
PROFILE = "/etc/bearerd/profiles.d/shop.conf"
EXAMPLE = "/usr/share/doc/bearerd/examples/shop.conf"
KEYS = "/etc/bearerd/keys"
SOCKET = "/run/bearerd/bearerd.sock"


def add_profile(box, upstream, client):
    """As an administrator does it: the example, with other values; each key in a file."""
    ways = {
        "client-secret": client["client_secret"],
        "subscription-key": client["subscription_keys"][0],
    }
    for kind, key in ways.items():
        box.sh(
            "install", "-m", "0400", "-o", "bearerd", "-g", "bearerd", "/dev/stdin", f"{KEYS}/shop.{kind}", input=key
        )
    lines = box.path(EXAMPLE).read_text().splitlines()
    others = {
        "Environment=": f"BaseURL={upstream.http}",
        "ClientID=": f"ClientID={client['client_id']}",
        "Allow=": "Allow=user:root\nAllow=user:www-data",
    }
    lines = [line.removeprefix("#") if line.startswith(("#ClientSecretFile=", "#SubscriptionKeyFile=")) else line for line in lines]
    changed = [next((new for old, new in others.items() if line.startswith(old)), line) for line in lines]
    box.write(PROFILE, "\n".join(changed) + "\n")


def seen(box):
    """What a restart must not change: the token, and which one it is."""
    value = json.loads(box.sh("bearerctl", "token", "shop", "--json").stdout)
    return {name: value[name] for name in ("access_token", "generation", "expires_at")}


def failed_units(box):
    return [unit["unit"] for unit in json.loads(box.ctl("--failed", "--output=json").stdout) if "bearer" in unit["unit"]]


def exists(box, path):
    return box.sh("test", "-e", path, check=False).returncode == 0


def stat(box, path):
    return box.sh("stat", "--format=%U:%G %a", path).stdout.strip()
