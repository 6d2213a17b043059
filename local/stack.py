"""The stack: the services of one root, started in order, stopped in reverse, remembered in its folder.

with LocalStack(root, services={"valkey"}) as stack:
    redis.Redis.from_url(stack.servers.broker_url)
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from local.child import tail
from local.member import Member
from local.plan import Plan, StackRequest, plan
from local.ports import is_free
from local.postgres import remove_home
from local.processes import POLL_SECONDS, ProcessId
from local.servers import Servers
from local.state import StackState, StateFolder
from local.watchdog import StackWatchdog, end_all
from paddlewheel.errors import ConfigurationError, OperatorError

ATTEMPTS = 3
Draw = Callable[[Path, StackState, StackRequest, Mapping[str, str]], Plan]
LOG_LINES = 15


class LocalStack:
    """The services of `root`: some of local.plan.SERVICES, with `workers` workers.

    A server with an address in `servers` is the operator's own and is not started. `environment` is the base
    environment of Flower, the gateway and the workers. An ephemeral stack deletes everything that it wrote
    when it stops. `start` raises ConfigurationError if a stack already runs from the root, and OperatorError
    with the end of the log if a service does not become ready. Once started, `servers` holds every address.
    `draw` makes the plan; tests replace it.
    """

    def __init__(
        self,
        root: Path,
        *,
        services: Collection[str] = ("valkey", "postgres"),
        workers: int = 1,
        servers: Servers | None = None,
        environment: Mapping[str, str] | None = None,
        ephemeral: bool = False,
        draw: Draw = plan,
    ) -> None:
        self.folder = StateFolder(root)
        self.servers = servers or Servers()
        self.state = StackState()
        self._wanted = StackRequest(services=frozenset(services), workers=workers, servers=self.servers)
        self._environment = os.environ if environment is None else environment
        self._ephemeral = ephemeral
        self._draw = draw
        self._held = contextlib.ExitStack()
        self._watchdog: StackWatchdog | None = None
        self._stages: list[list[Member]] = []

    @property
    def members(self) -> list[Member]:
        """The services in start order."""
        return [member for stage in self._stages for member in stage]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, given_up: Callable[[], bool] = lambda: False) -> None:
        """Start every service and return when all are ready. Stops early once `given_up()` is true."""
        self.folder.create()
        if not self._held.enter_context(self.folder.lock()):
            self._held.close()
            raise ConfigurationError(f"A stack already runs from {self.folder.root}: stop it first.")
        self.folder.close_to_others()
        try:
            self._wanted.servers.check()
            self._begin()
            self._start_services(given_up)
        except BaseException:
            self.stop()
            raise

    def launch(self, member: Member) -> None:
        """Start a service's process, and register it with the watchdog and in the state file."""
        child = member.launch()
        if self._watchdog and child.process:
            self._watchdog.watch(child.process, member.service.stop_signal)
        self.note(member)

    def note(self, member: Member) -> None:
        """Write a service's status to the state file."""
        self.state.services[member.service.name] = member.status()
        self.folder.write(self.state)

    def stop(self) -> None:
        """Stop the services in reverse order, each in bounded time. Does nothing if none runs."""
        self.folder.connection_file.unlink(missing_ok=True)
        self._stop_members()
        if self._watchdog:
            self._watchdog.quit()
            self._watchdog = None
        if self._ephemeral:
            remove_home(self.folder.path)
            shutil.rmtree(self.folder.path, ignore_errors=True)
        else:
            self.folder.forget_processes()
        self._held.close()

    def _begin(self) -> None:
        """Stop leftovers of an earlier run, and keep its ports and passwords."""
        earlier = self.folder.read()
        end_leftovers(earlier)
        self.state = StackState(
            ports=earlier.ports, passwords=earlier.passwords, supervisor=ProcessId.of(os.getpid())
        )
        self._watchdog = StackWatchdog()

    def _start_services(self, given_up: Callable[[], bool]) -> None:
        for attempts_left in reversed(range(ATTEMPTS)):
            drawn = self._draw(self.folder.path, self.state, self._wanted, self._environment)
            try:
                self._follow(drawn, given_up)
            except OperatorError:
                self._stop_members()
                # Another process may have taken a port after we drew it: draw again.
                if not attempts_left or all(map(is_free, self.state.ports.values())):
                    raise
            else:
                return

    def _follow(self, drawn: Plan, given_up: Callable[[], bool]) -> None:
        self.servers = drawn.servers
        self.state.notes = list(drawn.notes)
        for stage in drawn.stages:
            members = [Member(service, self.folder.log(service.name)) for service in stage]
            self._stages.append(members)
            for member in members:
                self.launch(member)
            self._await(members, given_up)
        self.folder.write_connection(drawn.connection)
        self.state.ready = True
        self.folder.write(self.state)

    def _await(self, members: list[Member], given_up: Callable[[], bool]) -> None:
        waiting = list(members)
        while waiting:
            if given_up():
                raise OperatorError("Stopped before every service was ready.")
            for member in list(waiting):
                if member.became_ready():
                    self.note(member)
                    waiting.remove(member)
                else:
                    _require_hope(member)
            time.sleep(POLL_SECONDS)

    def _stop_members(self) -> None:
        for stage in reversed(self._stages):
            for member in stage:
                member.ask_to_stop()
            for member in stage:
                member.finish()
        self._stages = []


def end_leftovers(state: StackState) -> None:
    """Stop the processes in a state file, if they are still the same ones."""
    processes = [
        (status.process, status.stop_signal)
        for status in state.services.values()
        if status.process is not None
    ]
    end_all(processes[::-1])


def _require_hope(member: Member) -> None:
    """Raise OperatorError if a starting service has ended or exceeded its start time."""
    code = member.exit_code()
    if code is None and not member.late():
        return
    what = f"was not ready in {member.service.start_seconds:g} s" if code is None else f"ended with {code}"
    raise OperatorError(
        f"{member.service.name} {what} while starting. Its log ends:\n{tail(member.log, LOG_LINES)}"
    )
