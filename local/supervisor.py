"""Keeps the services of a stack running: restarts those that end, until it is asked to stop."""

import logging
import signal
import time
from types import FrameType

from local.member import Member
from local.service import WatchedService
from local.stack import LocalStack
from paddlewheel.errors import OperatorError

LOOK_SECONDS = 0.1


class Supervisor:
    """Runs a stack in a dedicated process."""

    def __init__(self, stack: LocalStack, log: logging.Logger) -> None:
        self._stack = stack
        self._log = log
        self._stopping = False

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, then stop every service. Raises if the stack cannot start."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._ask_to_stop)
        self._stack.start(given_up=lambda: self._stopping)
        self._log.info("ready: %s", ", ".join(member.service.name for member in self._stack.members))
        while not self._stopping:
            for member in self._stack.members:
                self.tend(member)
            time.sleep(LOOK_SECONDS)
        self._stack.stop()
        self._log.info("stopped")

    def tend(self, member: Member) -> None:
        """Check one service once, and restart it if needed."""
        if member.phase == "failed":
            return
        if member.due is not None:
            if time.monotonic() >= member.due:
                self._start_again(member)
        elif (code := member.exit_code()) is not None:
            self._plan_restart(member, f"ended with {code}")
        elif member.phase != "ready":
            self._look_for_readiness(member)
        elif isinstance(member.service, WatchedService) and not member.service.live():
            self._log.error("%s hangs and is killed", member.service.name)
            member.kill()

    def _plan_restart(self, member: Member, reason: str) -> None:
        delay = member.plan_restart()
        if delay is None:
            self._log.error("%s %s and is not restarted: it failed too often", member.service.name, reason)
        else:
            self._log.warning("%s %s and restarts in %.1f s", member.service.name, reason, delay)
        self._stack.note(member)

    def _start_again(self, member: Member) -> None:
        try:
            self._stack.launch(member)
        except OperatorError as err:
            self._plan_restart(member, f"could not be started ({err.message})")

    def _look_for_readiness(self, member: Member) -> None:
        if member.became_ready():
            self._stack.note(member)
            self._log.info("%s is ready after %.2f s", member.service.name, member.seconds)
        elif member.late():
            member.kill()

    def _ask_to_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002  a handler's arguments
        self._stopping = True
