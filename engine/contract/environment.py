"""Names of environment variables that pass from a guard to the ranks it guards. Standard library only."""

GUARD_FOLDER_VARIABLE = "STORYBOARD_GUARD_FOLDER"
"""A private folder of one group; the guard removes it with the group."""
RANKS_STORE_VARIABLE = "STORYBOARD_RANKS_STORE"
"""Path of the file in which the ranks of one machine meet (``torch.distributed.FileStore``)."""
