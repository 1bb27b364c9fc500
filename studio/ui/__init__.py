"""The page: the only room that knows gradio. It shows boards and passes wishes to the desk; it holds no truth."""
