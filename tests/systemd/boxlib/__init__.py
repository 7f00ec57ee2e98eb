# SPDX-License-Identifier: MIT
"""Helpers of the tests in a real systemd."""
