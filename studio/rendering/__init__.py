"""Jobs out to the engine, events in: takes that arrive, progress, the engine itself and its models."""
