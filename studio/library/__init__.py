"""The database of the author's side: projects with their journal, takes, media, and files that are imported."""
