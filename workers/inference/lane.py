"""One lane of a model process: the shared memory through which a batch goes in and its outputs come back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from paddlewheel.errors import error_from
from workers.inference.layout import read_ids, write_batch
from workers.processes.arena import Arena
from workers.processes.frames import BrokenFrameError


@dataclass(frozen=True, kw_only=True)
class BatchOutput:
    """A batch's outputs, each (N, ...), and the model's own time for it."""

    outputs: tuple[NDArray[Any], ...]
    model_ms: float


class Lane:
    """The worker's side of a lane, used by one thread at a time. It outlives the processes that share it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.inputs = Arena()
        self.outputs = Arena()

    def write_request(
        self, model: str, number: int, ids: Sequence[int], items: Sequence[tuple[NDArray[Any], ...]]
    ) -> dict[str, Any]:
        """Write a batch into the memory; the message that announces it."""
        places = write_batch(self.inputs, number, ids, items)
        return {
            "model": model,
            "number": number,
            "count": len(ids),
            "places": [asdict(place) for place in places],
            "arena": self.inputs.size,
        }

    def read_reply(self, number: int, ids: Sequence[int], reply: dict[str, Any]) -> BatchOutput:
        """The outputs that a reply announces.

        Raises the model's own error, and BrokenFrameError for the answer to another batch or other items.
        """
        if reply["number"] != number:
            raise BrokenFrameError(f"it answered batch {reply['number']} instead of {number}")
        if "error" in reply:
            raise error_from(reply["error"]["code"], reply["error"]["message"])
        self.outputs.attach(reply["arena"])
        if read_ids(self.outputs, number, len(ids)) != list(ids):
            raise BrokenFrameError("it answered other items than those of its batch")
        outputs = tuple(
            self.outputs.view(place["offset"], place["shape"], place["dtype"]) for place in reply["places"]
        )
        return BatchOutput(outputs=outputs, model_ms=reply["model_ms"])

    def close(self) -> None:
        """Free the memory."""
        self.inputs.close()
        self.outputs.close()
