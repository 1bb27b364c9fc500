"""Files of models: which of them are on this machine, and downloads from the hub."""
