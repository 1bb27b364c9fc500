"""What the facade is composed of: what the author does with projects and renders, and what follows by itself."""
