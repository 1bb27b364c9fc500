"""Durations as text. Does not know what is measured."""


def clock(seconds: float) -> str:
    """``2.5 s``, ``1 min 05 s``, ``1 h 02 min``."""
    if seconds < 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def about(seconds: float | None) -> str:
    """An estimate as text."""
    if seconds is None:
        return "not measured yet"
    return "less than a second" if seconds < 1 else f"about {clock(round(seconds))}"
