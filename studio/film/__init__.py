"""The film: chosen takes in order, joined by ffmpeg."""
