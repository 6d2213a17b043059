"""Every task that a worker knows, and which of them may travel together."""

from typing import Any, Final

from paddlewheel.contracts.base import TaskSpec
from paddlewheel.contracts.batch_jobs import RUN_SHARD
from paddlewheel.contracts.faces import (
    DETECT_FACES,
    DETECT_FACES_MANY,
    EMBED_FACES,
    EMBED_FACES_MANY,
    IDENTIFY_FACES,
    IDENTIFY_FACES_MANY,
)
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
from paddlewheel.contracts.images import (
    CLASSIFY_IMAGE,
    CLASSIFY_IMAGES,
    EXTRACT_FEATURE,
    EXTRACT_FEATURES,
    SEARCH_IMAGE,
    SEARCH_IMAGES,
)
from paddlewheel.contracts.text import READ_PAGES, RECOGNIZE_TEXT, RECOGNIZE_TEXTS

BULK_SPECS: Final[dict[str, TaskSpec[Any, Any]]] = {
    RECOGNIZE_TEXT.name: RECOGNIZE_TEXTS,
    DETECT_FACES.name: DETECT_FACES_MANY,
    EMBED_FACES.name: EMBED_FACES_MANY,
    IDENTIFY_FACES.name: IDENTIFY_FACES_MANY,
    EXTRACT_FEATURE.name: EXTRACT_FEATURES,
    SEARCH_IMAGE.name: SEARCH_IMAGES,
    CLASSIFY_IMAGE.name: CLASSIFY_IMAGES,
}
"""Tasks whose items may travel together, with the task that carries them."""

TASKS: Final[tuple[TaskSpec[Any, Any], ...]] = (
    READ_PAGES,
    RECOGNIZE_TEXT,
    DETECT_FACES,
    EMBED_FACES,
    IDENTIFY_FACES,
    EXTRACT_FEATURE,
    SEARCH_IMAGE,
    CLASSIFY_IMAGE,
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
