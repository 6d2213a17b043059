"""Text recognition, the half that needs no network: a line to a tensor, and the outputs to its text.

The steps are those of PaddleX 3.7.2 (`text_recognition/processors.py`: OCRReisizeNormImg,
CTCLabelDecode), bit for bit.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ConfigurationError, ModelUnavailable
from workers.models.engines.session import ItemShapes
from workers.models.families.normalization import Normalization
from workers.models.home.directory import ModelDirectory

MAX_WIDTH = 3200
"""Wider lines are squeezed into this many columns."""


class TextRecognition:
    """A recognizer of one text line."""

    def __init__(
        self,
        *,
        name: str,
        characters: Sequence[str],
        image_shape: tuple[int, int, int] = (3, 48, 320),
        channel_order: Literal["BGR", "RGB"] = "BGR",
        width_step: int = 1,
    ) -> None:
        """`characters` are the dictionary, without the blank (class 0) and the space (the last class).

        `width_step`: a line wider than `image_shape` gets a tensor of the next multiple of it, so that
        more lines share a shape and a batch. The default keeps PaddleX's answers at batch size 1: on 600
        rendered lines of ratios 7 to 30, steps of 8, 16, 32 and 64 changed 8, 10, 12 and 15 % of
        PP-OCRv4's texts and moved scores by up to 0.16 (PP-OCRv6 small: 0.3 to 0.7 %, 0.02), without
        making them better or worse. Exact widths cost nothing on a CPU, where a batch of eight takes
        as long as eight batches of one (OpenVINO: 40 ms a line exact, 42 with a step of 32, 46 with 64;
        12 ms more for the first line of a width); on a GPU a step of 32 is worth a measurement.
        """
        if width_step < 1:
            raise ConfigurationError(f"width_step is {width_step}: it has to be at least 1.")
        self.name = name
        self._characters = ("", *characters, " ")
        self._channels, self._height, self._width = image_shape
        self._normalization = Normalization.centred()
        self._reversed = channel_order == "RGB"
        self._width_step = width_step

    @classmethod
    def open(
        cls,
        directory: ModelDirectory,
        *,
        width_step: int = 1,
        image_shape: tuple[int, int, int] | None = None,
    ) -> "TextRecognition":
        """Build it from inference.yml; `image_shape` (channels, height, width) replaces the one in there.

        Raises ModelUnavailable when the config lacks a part.
        """
        return cls(
            name=directory.name,
            characters=_dictionary(directory),
            image_shape=image_shape or _image_shape(directory),
            channel_order=directory.channel_order,
            width_step=width_step,
        )

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """The shape that every line up to 320/48 times as wide as high has."""
        return (((self._channels, self._height, self._width),),)

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        """A line (BGR, [H, W, 3]) to one tensor [3, 48, W'], values in [-1, 1], zeros to the right."""
        height, width = image.shape[:2]
        ratio = width * 1.0 / height
        # In PaddleX's order of operations: another one rounds to another width.
        columns = int(self._height * max(self._width / self._height, ratio))
        columns = min(columns, MAX_WIDTH)
        content = min(math.ceil(self._height * ratio), columns)
        resized = cv2.resize(image, (content, self._height))
        tensor = np.zeros((self._channels, self._height, self._pad_width(columns)), dtype=np.float32)
        self._normalization.fill(tensor[:, :, :content], resized[:, :, ::-1] if self._reversed else resized)
        return (tensor,)

    def postprocess(self, outputs: tuple[NDArray[Any], ...]) -> tuple[str, float]:
        """One item's best classes [T] and their probabilities [T] to its text and score.

        Connectionist temporal classification, greedy: repeats are joined, blanks dropped; the score is the
        mean probability of what is left, 0 for an empty text.
        """
        classes, probabilities = outputs
        kept = classes != 0
        kept[1:] &= classes[1:] != classes[:-1]
        text = "".join(self._characters[index] for index in classes[kept])
        return text, float(probabilities[kept].mean()) if kept.any() else 0.0

    def _pad_width(self, columns: int) -> int:
        if columns <= self._width:
            return columns
        return -(-columns // self._width_step) * self._width_step


def _dictionary(directory: ModelDirectory) -> list[str]:
    characters = (directory.config.get("PostProcess") or {}).get("character_dict")
    if not isinstance(characters, list) or not characters:
        raise ModelUnavailable(f"{directory.path}: PostProcess.character_dict is missing: export it again.")
    return [str(character) for character in characters]


def _image_shape(directory: ModelDirectory) -> tuple[int, int, int]:
    match directory.transforms.get("RecResizeImg", {}).get("image_shape"):
        case [int(channels), int(height), int(width)] if min(channels, height, width) > 0:
            return channels, height, width
    raise ModelUnavailable(f"{directory.path}: RecResizeImg.image_shape is not [channels, height, width].")
