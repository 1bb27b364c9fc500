"""Assistants without torch: refiner, guard and critic by rules, or by an endpoint that speaks chat completions."""
