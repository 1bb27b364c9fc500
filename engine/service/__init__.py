"""The engine process: a queue in a database, an HTTP interface, and the group of ranks that it owns. No torch."""
