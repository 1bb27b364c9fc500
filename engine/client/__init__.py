"""The engine as a Python object: its HTTP interface and its stream of events, for callers in other processes."""
