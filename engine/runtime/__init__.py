"""One rank at work: jobs in, events and takes out. ``pipeline`` tells the story."""
