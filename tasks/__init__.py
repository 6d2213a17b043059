"""What a job does: one module a family, bodies of a few lines."""

from typing import Final

MODULES: Final = ("tasks.batch_jobs", "tasks.faces", "tasks.galleries", "tasks.images", "tasks.text")
"""The modules that a worker loads."""
