"""Files of tensors in, state dicts out. This room knows no model: names and shapes are given by those who do."""
