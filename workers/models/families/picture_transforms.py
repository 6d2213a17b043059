"""A picture to a tensor, as classifiers and embedders take it: scale, cut out the middle, normalize.

The steps are those of PaddleX 3.7.2 (`common/vision/processors.py`: Resize, ResizeByShort, Normalize;
`image_classification/processors.py`: Crop), bit for bit.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ImageTooSmall, ModelUnavailable
from workers.models.families.interpolation import Interpolation
from workers.models.families.normalization import Normalization
from workers.models.home.directory import ModelDirectory

_REQUIRED = ("ResizeImage", "NormalizeImage", "ToCHWImage")


@dataclass(frozen=True, kw_only=True)
class PictureTransforms:
    """`size` and `crop` are (width, height); `short` is the short side, which the long one follows.

    One of `size` and `short` is set; without `crop` the whole picture is taken.
    """

    size: tuple[int, int] | None
    short: int | None
    interpolation: Interpolation
    crop: tuple[int, int] | None
    normalization: Normalization

    @classmethod
    def of(
        cls, directory: ModelDirectory, *, crops: bool, interpolation: Interpolation | None = None
    ) -> "PictureTransforms":
        """Build them from `PreProcess.transform_ops`.

        `crops` says whether CropImage is known to the family, `interpolation` replaces the config's.
        Raises ModelUnavailable when a step is missing, unknown or cannot be understood.
        """
        _require_steps(directory, (*_REQUIRED, "CropImage") if crops else _REQUIRED)
        resize = directory.transforms["ResizeImage"]
        try:
            return cls(
                size=None if resize.get("resize_short") else pair(resize.get("size")),
                short=positive(resize["resize_short"]) if resize.get("resize_short") else None,
                interpolation=interpolation or _interpolation(resize),
                crop=pair(directory.transforms["CropImage"].get("size", 224))
                if "CropImage" in directory.transforms
                else None,
                normalization=Normalization.of(directory),
            )
        except ValueError as err:
            raise ModelUnavailable(f"{directory.path}: PreProcess cannot be understood: {err}.") from err

    def tensor(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A picture (BGR, [H, W, 3]) to a tensor [3, H', W'] in RGB.

        Raises ImageTooNarrow, and ImageTooSmall when the scaled picture does not hold the crop.
        """
        pixels = self._crop(self._scale(image))
        tensor = np.empty((3, *pixels.shape[:2]), dtype=np.float32)
        self.normalization.fill(tensor, pixels[:, :, ::-1])
        return tensor

    @property
    def warmup_shape(self) -> tuple[int, int, int]:
        """The shape of a square picture's tensor."""
        width, height = self.crop or self.size or (self.short or 1, self.short or 1)
        return 3, height, width

    def _scale(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.size is not None:
            return self.interpolation.scale(image, *self.size)
        height, width = image.shape[:2]
        ratio = (self.short or 1) / min(height, width)
        return self.interpolation.scale(image, round(width * ratio), round(height * ratio))

    def _crop(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.crop is None:
            return image
        (width, height), (rows, columns) = self.crop, image.shape[:2]
        if columns < width or rows < height:
            raise ImageTooSmall(
                f"The picture is {columns} x {rows} pixels at the model's scale; it needs {width} x {height}."
            )
        left, top = (columns - width) // 2, (rows - height) // 2
        return image[top : top + height, left : left + width]


def pair(value: Any) -> tuple[int, int]:
    """A config's size, a number or two of them. Raises ValueError."""
    match value:
        case [first, second]:
            return positive(first), positive(second)
    return positive(value), positive(value)


def positive(value: Any) -> int:
    """A config's number of pixels. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(f"{value!r} is no number of pixels")


def _interpolation(resize: Mapping[str, Any]) -> Interpolation:
    return Interpolation.of(str(resize.get("backend", "cv2")), str(resize.get("interpolation", "LINEAR")))


def _require_steps(directory: ModelDirectory, known: Collection[str]) -> None:
    given = directory.transforms
    unknown, missing = [step for step in given if step not in known], [s for s in _REQUIRED if s not in given]
    if unknown or missing:
        what = f"unknown steps {', '.join(unknown)}" if unknown else f"no {', '.join(missing)}"
        raise ModelUnavailable(
            f"{directory.path}: PreProcess.transform_ops has {what}; "
            f"a model of this family takes {', '.join(known)}: export it again."
        )
