"""The tasks of one image each: what many images may be given to, in one message or as a batch job."""

from typing import Any, Final

from paddlewheel.contracts.base import TaskSpec, bulk_of
from paddlewheel.contracts.faces import DETECT_FACES, EMBED_FACES, IDENTIFY_FACES
from paddlewheel.contracts.images import CLASSIFY_IMAGE, EXTRACT_FEATURE, SEARCH_IMAGE
from paddlewheel.contracts.text import READ_PAGES, RECOGNIZE_TEXT

IMAGE_TASKS: Final[tuple[TaskSpec[Any, Any], ...]] = (
    READ_PAGES,
    RECOGNIZE_TEXT,
    DETECT_FACES,
    EMBED_FACES,
    IDENTIFY_FACES,
    EXTRACT_FEATURE,
    SEARCH_IMAGE,
    CLASSIFY_IMAGE,
)
"""Tasks whose request has one `image`. A batch job may be of each of them."""

BULK_SPECS: Final[dict[str, TaskSpec[Any, Any]]] = {
    # A document of many pages is a message's work by itself.
    spec.name: bulk_of(spec)
    for spec in IMAGE_TASKS
    if spec is not READ_PAGES
}
"""The tasks that carry many items in one message, by the name of the task of one item."""
