"""Layers that two model families share. Nothing here knows a model's name or a checkpoint's keys."""
