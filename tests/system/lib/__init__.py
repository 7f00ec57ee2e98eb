# SPDX-License-Identifier: MIT
"""Helpers of the system tests: run the real daemon, talk to it, look at it from outside."""
