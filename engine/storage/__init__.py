"""Files on disk: the workspace, the media store, hashes of large files, model cards, atomic writes. No torch."""
