"""Adapters: registry, gate, and what is in service."""
