"""Assistants that need no model: a refiner and a critic that know a card's vocabulary, and measures of frames."""
