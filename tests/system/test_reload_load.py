# SPDX-License-Identifier: MIT
"""Two hundred reloads with random edits, while several users ask all the time.

An answer is right if it is right for settings that may have been in force while it was asked for: from the moment
when they were written, to the end of the first reload that was asked for behind the next ones. Nothing else is
excused. The seed is printed; BEARERD_SEED= replays the edits (not the moments).
"""

import bisect
import collections
import dataclasses
import json
import os
import random
import signal
import time

import pytest
from lib import profiles
from lib.daemon import settings_text
from lib.reload import replace
from lib.settings import TIME_FACTOR
from lib.witness import Witness

pytestmark = pytest.mark.needs_root

USERS = [3_000_000_001, 3_000_000_002, 3_000_000_003]
STILL, EDITED = ["still-0", "still-1"], ["shop-0", "shop-1", "shop-2", "shop-3"]
RELOADS = 200 if TIME_FACTOR == 1 else 50
SUBSCRIPTION_KEYS = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"]
# Each request is one that a reload has set off: keys that failed are not tried again within the test.
REFRESH = {"RetryMin": "60s", "RetryMax": "120s", "At": "90%", "Jitter": "0%", "Timeout": f"{int(30 * TIME_FACTOR)}s"}


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a settings file says of a profile."""

    users: frozenset
    client: str
    key: str = "a"  # a, b: both right; wrong
    retry_max: int = 120
    is_broken: bool = False

    def allows(self, uid):
        return uid in self.users


class Profile:
    """One profile: its settings as they are written, as they are in force, and all that may ever have been."""

    def __init__(self, world, name, clients):
        self.world, self.name, self.clients = world, name, clients
        self.wish = Wish(frozenset(USERS), clients[0])
        self.applied = self.wish
        self.written_at, self.ended_at, self.wishes = [0.0], [], [self.wish]
        self.n_asked = 1  # upstream requests that it may have cost
        self.write()

    @property
    def file(self):
        return self.world.daemon.profile_folder / f"{self.name}.conf"

    def write(self):
        wish = self.wish
        keys = {
            "ClientID": wish.client,
            "ClientSecretFile": self.world.secret_file(wish.client, wish.key),
            "SubscriptionKeyFile": self.world.subscription_key_file,
        }
        sections = {
            "Profile": {"Provider": "vipps", "BaseURL": self.world.upstream.http},
            "Keys": keys,
            "Refresh": REFRESH | {"RetryMax": f"{wish.retry_max}s"},
            "Access": {"Allow": [f"user:{uid}" for uid in sorted(wish.users)]},
        }
        if wish.is_broken:
            sections["Profile"]["Enviroment"] = "test"
        replace(self.file, settings_text(sections))

    def change(self, wish, is_asking):
        """Puts other settings, or none, in the place of the file, in one step."""
        self.wish = wish
        self.n_asked += is_asking
        # Broken settings are never in force; what was in force before them stays possible.
        if wish is None or not wish.is_broken:
            self.written_at.append(time.monotonic())
            self.wishes.append(wish)
        if wish is None:
            self.file.unlink()
        else:
            self.write()

    def settle(self, now):
        """A reload has taken what is written: by now it is in force."""
        self.applied = self.wish
        self.ended_at += [now] * (len(self.wishes) - 1 - len(self.ended_at))

    def possible(self, began, ended):
        """The settings, of which None is one, that may have been in force at some moment between the two."""
        first = bisect.bisect_left(self.ended_at, began)
        last = bisect.bisect_right(self.written_at, ended)
        return self.wishes[first:last]


class World:
    """The daemon, the upstream and the profiles."""

    def __init__(self, daemon, upstream, seed):
        self.daemon, self.upstream, self.random = daemon, upstream, random.Random(seed)
        self.subscription_key_file = daemon.key("subscription-key", SUBSCRIPTION_KEYS[0])
        self._secrets = {}
        self.profiles = {name: Profile(self, name, [self.new_client()]) for name in STILL}
        self.profiles |= {name: Profile(self, name, [self.new_client() for _ in range(3)]) for name in EDITED}

    def new_client(self):
        client = self.upstream.vipps_client(subscription_keys=SUBSCRIPTION_KEYS, next_client_secret="bmV4dA==")
        name = client["client_id"]
        secrets = {"a": client["client_secret"], "b": "bmV4dA==", "wrong": "d3Jvbmc="}
        self._secrets[name] = {key: self.daemon.key(f"{name}.{key}", secret) for key, secret in secrets.items()}
        return name

    def secret_file(self, client, key):
        return self._secrets[client][key]

    # --- edits --------------------------------------------------------------------------------------------------------

    def edit(self, profile):
        """One random change of one profile."""
        wish = profile.wish
        if wish is None:
            client = self.random.choice(profile.clients)
            profile.change(Wish(self.some_users(), client), is_asking=True)
        elif wish.is_broken:
            profile.change(dataclasses.replace(wish, is_broken=False), is_asking=False)
        else:
            self.random.choice([self.rules, self.rules, self.policy, self.keys, self.identity, self.gone, self.broken])(
                profile, wish
            )

    def some_users(self):
        return frozenset(uid for uid in USERS if self.random.random() < 0.7)

    def rules(self, profile, wish):
        profile.change(dataclasses.replace(wish, users=self.some_users()), is_asking=False)

    def policy(self, profile, wish):
        profile.change(dataclasses.replace(wish, retry_max=self.random.randrange(60, 240)), is_asking=False)

    def keys(self, profile, wish):
        # Wrong ones only where a token of this client is there: so none is ever missing.
        has_token = profile.applied is not None and profile.applied.client == wish.client
        key = self.random.choice(["a", "b", "wrong"] if has_token else ["a", "b"])
        profile.change(dataclasses.replace(wish, key=key), is_asking=True)

    def identity(self, profile, wish):
        profile.change(
            dataclasses.replace(wish, client=self.random.choice(profile.clients), key="a"), is_asking=True
        )

    def gone(self, profile, wish):
        profile.change(None, is_asking=False)

    def broken(self, profile, wish):
        profile.change(dataclasses.replace(wish, is_broken=True), is_asking=False)

    def reload(self):
        """One to three edits, sometimes with a SIGHUP among them, and a reload; whether that was taken."""
        for profile in self.random.sample([self.profiles[name] for name in EDITED], self.random.randint(1, 3)):
            self.edit(profile)
            if self.random.random() < 0.1:
                self.daemon.signal(signal.SIGHUP)
        is_good = not any(profile.wish and profile.wish.is_broken for profile in self.profiles.values())
        answer = self.daemon.call("POST", "/v1/reload")
        assert answer.status == (200 if is_good else 409), answer
        if is_good:
            now = time.monotonic()
            for profile in self.profiles.values():
                profile.settle(now)
        return is_good

    # --- judging ------------------------------------------------------------------------------------------------------

    def clients_of(self, handed):
        """{what was handed out: whose it is}, as the upstream's API says."""
        found = {}
        for one in handed:
            kind, value = json.loads(one)
            headers = value
            if kind == "token":
                headers = {"Authorization": f"Bearer {value}", "Ocp-Apim-Subscription-Key": SUBSCRIPTION_KEYS[0]}
            status, body = self.upstream.ping(headers)
            assert status == 200, (kind, body)
            found[one] = body["client"]
        return found

    def is_right(self, told, clients):
        wishes = self.profiles[told.profile].possible(told.began, told.ended)
        allowing = [wish for wish in wishes if wish and wish.allows(told.uid)]
        if told.status == 200:
            return any(wish.client == clients[told.handed] for wish in allowing)
        if told.status == 503:
            # The second of a long poll was over while the first token of another client was on its way.
            return told.kind == "poll" and bool(allowing) and len({wish and wish.client for wish in wishes}) > 1
        return {304: told.kind == "poll" and bool(allowing), 404: len(allowing) < len(wishes)}.get(told.status, False)


def check_generations(answers):
    """A generation is one token, and nobody sees them go back."""
    tokens, last = {}, collections.Counter()
    for told in answers:
        if told.status != 200:
            continue
        kind, value = json.loads(told.handed)
        token = value if kind == "token" else value["Authorization"].removeprefix("Bearer ")
        assert tokens.setdefault((told.profile, told.generation), token) == token, told
        assert told.generation >= last[told.thread, told.profile], told
        last[told.thread, told.profile] = told.generation
    return tokens


def test_reloads_under_load(daemon, upstream):
    seed = int(os.environ.get("BEARERD_SEED", random.randrange(1 << 32)))
    print(f"BEARERD_SEED={seed}")
    world = World(daemon, upstream, seed)
    daemon.main(SocketMode="0666", Audit="off")
    daemon.start()
    witnesses = []
    try:
        for uid in USERS:
            witnesses.append(Witness(daemon, uid, [*STILL, *EDITED, "never"]))
        n_taken = sum(world.reload() for _ in range(RELOADS))
    finally:
        for witness in witnesses:
            witness.end()
    answers = [told for witness in witnesses for told in witness.testimony()]
    world.profiles["never"] = never = Profile.__new__(Profile)
    never.written_at, never.ended_at, never.wishes = [0.0], [], [None]
    clients = world.clients_of({told.handed for told in answers if told.handed})
    wrong = [told for told in answers if not world.is_right(told, clients)]
    assert not wrong, (len(wrong), len(answers), wrong[:5])
    check_generations(answers)
    # Those that nobody touched have noticed nothing, and the others cost what was asked for.
    for name in STILL:
        assert len({told.generation for told in answers if told.profile == name and told.status == 200}) == 1
    for name, profile in world.profiles.items():
        if name != "never":
            n_requests = sum(upstream.stats(client)["requests"] for client in profile.clients)
            assert n_requests == 1 if name in STILL else n_requests <= profile.n_asked, name
    # It was a load, and what was to happen has happened.
    kinds = collections.Counter((told.kind, told.status) for told in answers)
    print(f"{n_taken} of {RELOADS} reloads taken, {len(answers)} answers: {dict(kinds)}")
    assert RELOADS // 4 < n_taken < RELOADS
    assert all(kinds[kind, status] > 0 for kind in ("token", "headers", "poll") for status in (200, 404))
    assert daemon.metrics().value("bearerd_waiters") == 0
