"""The refiner: what models are asked to make of a prompt, and how their answers are read."""
