"""Kinds of golden cases: one file per topic, found and imported by ``tests.goldens.runner``."""
