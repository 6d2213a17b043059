"""A service of a running stack: its process, and when it is restarted."""

import time
from pathlib import Path

from local.child import Child
from local.service import Service
from local.state import Phase, ServiceStatus

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 10.0
STEADY_SECONDS = 60.0
FAILURES = 8


class RestartPolicy:
    """Waits longer after each failure and finally gives up; a steady run resets the count."""

    def __init__(self) -> None:
        self.total = 0
        self._failures = 0

    def delay(self, lived: float) -> float | None:
        """Seconds to wait before restarting a process that lived `lived` seconds; None to give up."""
        self._failures = 1 if lived >= STEADY_SECONDS else self._failures + 1
        if self._failures > FAILURES:
            return None
        self.total += 1
        return float(min(FIRST_DELAY_SECONDS * 2 ** (self._failures - 1), LONGEST_DELAY_SECONDS))


class Member:
    """A service with its process, phase and restarts.

    `seconds` is how long the last start took, None until it is ready. `due` is the monotonic time of the next
    restart, None if none is planned.
    """

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.phase: Phase = "starting"
        self.child: Child | None = None
        self.seconds: float | None = None
        self.due: float | None = None
        self.restarts = RestartPolicy()
        self._launched = 0.0

    def launch(self) -> Child:
        self._launched = time.monotonic()
        self.seconds = self.due = None
        self.service.prepare()
        self.child = Child(self.service.launch(), self.log)
        return self.child

    def lived(self) -> float:
        """Seconds since the launch."""
        return time.monotonic() - self._launched

    def late(self) -> bool:
        return self.lived() > self.service.start_seconds

    def exit_code(self) -> int | None:
        return self.child.exit_code() if self.child else None

    def became_ready(self) -> bool:
        """Check whether a starting service has become ready."""
        if self.child is None or not self.service.ready(self.child.pid):
            return False
        self.phase = "ready"
        self.seconds = round(self.lived(), 3)
        return True

    def plan_restart(self) -> float | None:
        """Plan the next start; returns the seconds until then, None if the service has failed for good."""
        delay = self.restarts.delay(self.lived())
        if delay is None:
            self.phase = "failed"
        else:
            self.phase = "restarting"
            self.due = time.monotonic() + delay
        return delay

    def kill(self) -> None:
        if self.child:
            self.child.finish(0)

    def ask_to_stop(self) -> None:
        if self.child:
            self.child.ask_to_stop(self.service.stop_signal)

    def finish(self) -> bool:
        """Wait for the end after `ask_to_stop`; returns False if the process had to be killed."""
        return self.child is None or self.child.finish(self.service.stop_seconds)

    def status(self) -> ServiceStatus:
        return ServiceStatus(
            phase=self.phase,
            address=self.service.address,
            stop_signal=int(self.service.stop_signal),
            process=self.child.process if self.child else None,
            seconds=self.seconds,
            restarts=self.restarts.total,
        )
