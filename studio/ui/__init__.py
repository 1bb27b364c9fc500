"""The page: the only package that imports gradio. It shows boards and passes requests to the studio; no state."""
