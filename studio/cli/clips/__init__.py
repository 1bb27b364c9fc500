"""Commands that work on clips that are there already."""
