"""Renders followed in an experiment tracker: off unless the host asks for it."""
