"""Guards of prompts and takes: what is judged, by whom, and what follows from a verdict."""
