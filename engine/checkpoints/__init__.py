"""Files of tensors in, state dicts out. Knows no model: callers pass names and shapes."""
