"""The mathematics of sampling: samplers, schedules, denoisers, guidance. Knows no sockets and no files."""
