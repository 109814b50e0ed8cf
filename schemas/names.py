"""What names look like. Loads nothing, so that whoever only checks one need not wait for the models."""

from __future__ import annotations

NAME_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
"""Tenants, categories and models of policies: no character that separates the parts of a key."""
