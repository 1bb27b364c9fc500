"""Colours and measures of the page for Gradio's own parts; ours take them from static/styles/tokens.css.

Comes in: nothing. Goes out: a theme. Does not know panels.
"""

import gradio as gr
from gradio.themes import Base

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Ubuntu", "Cantarell", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.Theme:
    """The system's own letters (nothing is fetched from elsewhere), light and dark."""
    return Base(font=SANS, font_mono=MONO).set(  # pyright: ignore[reportUnknownMemberType]
        body_background_fill="#f6f5f2",
        body_background_fill_dark="#0f1115",
        body_text_color="#1d2129",
        body_text_color_dark="#e8ebf0",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#161a21",
        border_color_primary="#e4e1da",
        border_color_primary_dark="#272d38",
        color_accent="#d97e0c",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
    )
