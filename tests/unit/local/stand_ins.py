"""Services that are small Python programs, for tests of what supervises them."""

import os
import signal
import sys
from pathlib import Path

from local.plan import Plan
from local.servers import Servers
from local.service import Launch, Service
from local.stack import Draw

OBEDIENT = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT
SHORT_LIVED = "import sys; print('no reason to live'); sys.exit(3)"
LATER = """import os, sys, time
if os.path.exists('started'):
    {later}
open('started', 'w').close()
"""


class StandIn:
    """Runs `program`, which gets as its argument the file that it has to make to be ready."""

    address = "nowhere"
    stop_signal = signal.SIGTERM
    start_seconds = 20.0
    stop_seconds = 0.3

    def __init__(self, folder: Path, name: str, program: str = OBEDIENT) -> None:
        self.name = name
        self.ready_file = folder / f"{name}.ready"
        self.launches = 0
        self._program = program

    def prepare(self) -> None:
        self.ready_file.unlink(missing_ok=True)

    def launch(self) -> Launch:
        self.launches += 1
        argv = (sys.executable, "-c", self._program, str(self.ready_file))
        return Launch(argv=argv, env={"PATH": os.defpath}, cwd=self.ready_file.parent)

    def ready(self, pid: int) -> bool:  # noqa: ARG002  the file is enough
        return self.ready_file.exists()


def drawing(*stages: tuple[Service, ...]) -> Draw:
    """A plan of these services, whatever is wanted."""
    return lambda *_: Plan(stages=stages, servers=Servers(), connection={"broker_url": "redis://stand-in"})
