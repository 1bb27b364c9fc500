"""The engine: turns jobs into events and takes. Knows no storyboard; never imports ``studio``."""
