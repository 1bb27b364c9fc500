"""Why a group died, as text: from its exit code and the last lines it wrote.

Comes in: an exit code (128 + n for signal n) and text. Goes out: one sentence. Pure. Does not know processes.
"""

import re
import signal

_REPORT = re.compile(r"^rank (\d+) exited with code (-?\d+)$", re.MULTILINE)
"""What ``engine.service.spawn_ranks`` says of a rank that fails."""
_ERROR = re.compile(r"^(?:\[rank(\d+)\]:\s*)?((?:\w+\.)*\w*(?:Error|Exception|Interrupt)(?::.*)?)$", re.MULTILINE)
"""The last line of a Python traceback."""
_MEMORY = re.compile(r"MemoryError|can't allocate memory|out of memory|Cannot allocate memory", re.IGNORECASE)
MEMORY_ADVICE = "Out of memory: render smaller or shorter, use a lower preset, or close other programs."


def describe_death(exit_code: int | None, output: str) -> str:
    """One sentence: which rank, how, and what to do where that is known."""
    cause = _how(exit_code, output)
    if _MEMORY.search(output):
        return f"{cause}. {MEMORY_ADVICE}"
    if "SIGKILL" in cause:
        return f"{cause}: by hand, or by the system for want of memory."
    return f"{cause}."


def _how(exit_code: int | None, output: str) -> str:
    failures = [(rank, int(code)) for rank, code in _REPORT.findall(output)]
    by_signal = [(rank, code) for rank, code in failures if code < 0 and code != -signal.SIGTERM]
    if by_signal:
        rank, code = by_signal[0]
        return f"rank {rank} was killed by signal {_signal_name(-code)}"
    if errors := _ERROR.findall(output):
        rank, text = errors[-1]
        return f"{f'rank {rank}' if rank else 'a rank'} stopped with {text[:400].rstrip('. ')}"
    if exit_code is not None and exit_code > 128:
        return f"the group was killed by signal {_signal_name(exit_code - 128)}"
    if failures:
        return f"rank {failures[0][0]} left with exit code {failures[0][1]}"
    return f"the group left with exit code {exit_code}"


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
