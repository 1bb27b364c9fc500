"""The author's document: storyboards, edits of them, what is wrong with them, and the file formats they come in."""
