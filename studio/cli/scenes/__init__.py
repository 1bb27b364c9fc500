"""What ``generate``, ``render`` and ``batch`` share: flags of scenes and weights, settings in words, files written."""
