"""`python -m workers.health`: the health of the worker with the same settings, for probes of containers.

Exit status 0 when it is healthy, 1 when it is not, 2 when the settings name no file to check. `--ready`
checks whether it takes tasks, `--live` whether its loop turned within PADDLEWHEEL_LIVENESS_TIMEOUT seconds;
without either, both.
"""

import argparse
import sys
import time
from pathlib import Path

from paddlewheel.errors import ConfigurationError
from workers.settings import WorkerSettings


def ready_fault(ready_file: Path | None) -> str | None:
    """Why the worker is not ready; None if it is."""
    if ready_file is None:
        raise ConfigurationError("Set PADDLEWHEEL_READY_FILE, for the worker and for this command.")
    return None if ready_file.exists() else "it takes no tasks"


def live_fault(live_file: Path | None, timeout: float, now: float) -> str | None:
    """Why the worker is not live; None if it is. `now` is seconds since the epoch."""
    if live_file is None:
        raise ConfigurationError("Set PADDLEWHEEL_LIVE_FILE, for the worker and for this command.")
    try:
        age = now - live_file.stat().st_mtime
    except FileNotFoundError:
        return "it does not run"
    return None if age <= timeout else f"its loop has not turned for {age:.0f} s"


def main() -> int:
    """Print what is wrong, if anything is."""
    parser = argparse.ArgumentParser(prog="python -m workers.health", description=__doc__)
    parser.add_argument("--ready", action="store_true", help="does it take tasks?")
    parser.add_argument("--live", action="store_true", help="does its loop turn?")
    given = parser.parse_args()
    faults = []
    try:
        settings = WorkerSettings.from_environment()
        if given.ready or not given.live:
            faults.append(ready_fault(settings.ready_file))
        if given.live or not given.ready:
            faults.append(live_fault(settings.live_file, settings.liveness_timeout, time.time()))
    except ConfigurationError as err:
        print(f"error[{err.code}]: {err.message}", file=sys.stderr)
        return 2
    found = [fault for fault in faults if fault]
    print("; ".join(found) or "well")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
