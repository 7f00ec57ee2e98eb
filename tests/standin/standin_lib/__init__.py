# SPDX-License-Identifier: MIT
"""The stand-in upstream: a token issuer made of misbehaviour on demand.

One file, one subject; read them in this order:

    clients.py   who is registered: keys, kinds, what is revoked
    tokens.py    making tokens and remembering to whom each was issued
    grants.py    the token endpoints and the API call that proves a token; all validation
    assertion.py RFC 7523 client assertions
    faults.py    the rules by which answers go wrong, and who is held by one
    answers.py   bending an answer as a rule says, and delivering it badly
    record.py    what arrived: counters, request log, waiting for an event
    control.py   the JSON interface for tests
    http1.py     reading requests, composing answers, one connection
    listeners.py the ports: plain, TLS in good and bad forms, silent, refused
    certs.py     the throw-away certificates
    app.py       all of it wired together: the path of one request
"""
