"""What the plan is made of: sizes, words, what a scene starts from, one scene or all together, why, and the cost."""
