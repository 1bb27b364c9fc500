"""One rank at work: jobs in, events and takes out. The files here are read in the order that ``pipeline`` calls them."""
