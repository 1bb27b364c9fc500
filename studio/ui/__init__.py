"""The page: the only room that knows gradio. It shows boards and passes wishes to the studio; it holds no truth."""
