"""What is shown of a project, as one value: its state gathered, and the board, scenes and bars computed from it."""
