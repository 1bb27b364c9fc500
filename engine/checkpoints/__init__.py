"""Files of tensors in, state dicts out. Builds no network: callers pass names and shapes."""
