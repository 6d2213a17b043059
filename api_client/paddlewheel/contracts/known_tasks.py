"""Every task that a worker knows."""

from typing import Any, Final

from paddlewheel.contracts.base import TaskSpec
from paddlewheel.contracts.batch_jobs import RUN_SHARD
from paddlewheel.contracts.galleries import (
    APPEND_GALLERY,
    BUILD_GALLERY,
    DELETE_GALLERY,
    DESCRIBE_GALLERY,
    EXPORT_GALLERY,
    IMPORT_GALLERY,
    REMOVE_GALLERY,
    SEARCH_GALLERY,
)
from paddlewheel.contracts.image_tasks import BULK_SPECS, IMAGE_TASKS

TASKS: Final[tuple[TaskSpec[Any, Any], ...]] = (
    *IMAGE_TASKS,
    *BULK_SPECS.values(),
    BUILD_GALLERY,
    APPEND_GALLERY,
    REMOVE_GALLERY,
    SEARCH_GALLERY,
    DESCRIBE_GALLERY,
    DELETE_GALLERY,
    EXPORT_GALLERY,
    IMPORT_GALLERY,
)
"""Every task that callers enqueue."""

SERVICE_TASKS: Final[tuple[TaskSpec[Any, Any], ...]] = (RUN_SHARD,)
"""Those that a worker knows beside them, which the service enqueues for itself."""
