"""One rank: jobs in, events and takes out. ``pipeline`` is the main path."""
