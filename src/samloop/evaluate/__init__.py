"""Suites that grade a model on held-out items, and the comparison of two models."""
