"""The author's side: storyboard, plan, library and film. Imports no torch; of the engine only its contract."""
