"""A picture to the tensors of an object detector: the steps that a config lists under `Preprocess`.

They are those of PaddleX 3.7.2 (`object_detection/processors.py`: Resize, Normalize, DetPad, ToCHWImage,
PadStride), in the config's order, bit for bit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ImageTooLarge, ModelUnavailable
from workers.models.families.interpolation import NUMBERED, Interpolation
from workers.models.families.normalization import Normalization, mean_and_std
from workers.models.families.picture_transforms import pair, positive
from workers.models.home.directory import ModelDirectory

# PaddleX knows by these parts of a model's name that its network also takes the size of the image.
_TAKES_SIZE: Final = (
    *("DETR", "DINO", "RCNN", "YOLOv3", "CenterNet", "BlazeFace"),
    *("PP-DocLayout-L", "PP-DocLayout_plus-L", "PP-DocBlockLayout", "PP-DocLayoutV2"),
)

Pixels = NDArray[Any]
Step = Callable[[Pixels], Pixels]


@dataclass(frozen=True, kw_only=True)
class DetectionTransforms:
    """A picture's way into a detector: `resize` may be missing, `rest` is what follows it."""

    resize: "DetectionResize | None"
    rest: Sequence[Step]
    takes_size: bool

    @classmethod
    def of(cls, directory: ModelDirectory) -> "DetectionTransforms":
        """Build them from `Preprocess`. Raises ModelUnavailable when a step cannot be understood."""
        steps = directory.config.get("Preprocess")
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise ModelUnavailable(f"{directory.path}: Preprocess is not a list of steps: export it again.")
        try:
            resize, rest = _steps(steps)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as err:
            raise ModelUnavailable(f"{directory.path}: Preprocess cannot be understood: {err}.") from err
        name = str(directory.config["Global"]["model_name"])
        return cls(resize=resize, rest=rest, takes_size=any(part in name for part in _TAKES_SIZE))

    def tensors(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """A picture (BGR, [H, W, 3]) to (image [3, H', W'], scale_factor [2]), im_shape [2] before them.

        `scale_factor` is how much higher and wider the image became, `im_shape` its height and width then,
        without what is padded. Raises ImageTooNarrow, ImageTooLarge.
        """
        pixels: Pixels = np.ascontiguousarray(image[:, :, ::-1])
        (rows, columns), scale = image.shape[:2], (1.0, 1.0)
        if self.resize is not None:
            pixels = self.resize(pixels)
            scale = pixels.shape[0] / rows, pixels.shape[1] / columns
        size = np.array(pixels.shape[:2], dtype=np.float32)
        for step in self.rest:
            pixels = step(pixels)
        tensors = np.ascontiguousarray(pixels, dtype=np.float32), np.array(scale, dtype=np.float32)
        return (size, *tensors) if self.takes_size else tensors


@dataclass(frozen=True, kw_only=True)
class DetectionResize:
    """To `size` (width, height); with `keep_ratio` into it, long side to long side."""

    size: tuple[int, int]
    keep_ratio: bool
    interpolation: Interpolation

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows, columns = image.shape[:2]
        width, height = self.size
        if self.keep_ratio:
            ratio = min(max(self.size) / max(rows, columns), min(self.size) / min(rows, columns))
            width, height = round(columns * ratio), round(rows * ratio)
        return self.interpolation.scale(image, width, height)


class _Normalize:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        if settings.get("norm_type") not in (None, "", "none", "mean_std"):
            raise ValueError(f"norm_type {settings['norm_type']!r} is neither mean_std nor none")
        scale = 1.0 / 255.0 if settings.get("is_scale", True) else 1.0
        mean, std = mean_and_std(settings)
        self._of_pixels = Normalization.scaled(scale, mean, std)
        self._factors = np.array([scale / s for s in std], dtype=np.float32)
        self._offsets = np.array([-m / s for m, s in zip(mean, std, strict=True)], dtype=np.float32)

    def __call__(self, image: Pixels) -> Pixels:
        if image.dtype == np.uint8:
            return self._of_pixels.apply(image)
        return image * self._factors + self._offsets


class _Pad:
    """To the right and below, up to a fixed size."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._height, self._width = pair(settings.get("size", 640))
        fill = settings.get("fill_value") or (127.5, 127.5, 127.5)
        self._fill = np.array([float(value) for value in fill], dtype=np.float32).reshape(3)

    def __call__(self, image: Pixels) -> Pixels:
        rows, columns = image.shape[:2]
        if (rows, columns) == (self._height, self._width):
            return image
        if rows > self._height or columns > self._width:
            raise ImageTooLarge(
                f"The image is {columns} x {rows} pixels at the detector's scale, which takes "
                f"{self._width} x {self._height}: send a smaller one."
            )
        canvas = np.empty((self._height, self._width, 3), dtype=np.float32)
        canvas[:] = self._fill
        canvas[:rows, :columns] = image
        return canvas


class _PadStride:
    """To the right and below with zeros, until both sides are multiples of the stride."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._stride = settings.get("stride", 32)
        if not isinstance(self._stride, int):
            raise ValueError(f"stride {self._stride!r} is no number of pixels")

    def __call__(self, image: Pixels) -> Pixels:
        if self._stride <= 0:
            return image
        rows, columns = (-(-side // self._stride) * self._stride for side in image.shape[1:])
        padded = np.zeros((image.shape[0], rows, columns), dtype=np.float32)
        padded[:, : image.shape[1], : image.shape[2]] = image
        return padded


def _steps(steps: Sequence[Mapping[str, Any]]) -> tuple[DetectionResize | None, list[Step]]:
    """The resize and what follows it. Pixels are worked on before Permute, planes after it."""
    resize: DetectionResize | None = None
    rest: list[Step] = []
    order = [str(step.get("type")) for step in steps]
    if order.count("Permute") != 1:
        raise ValueError("there has to be one Permute")
    for name, settings in zip(order, steps, strict=True):
        permuted = _permute in rest
        match name:
            case "Resize" if not rest and resize is None:
                resize = _resize(settings)
            case "NormalizeImage" if not permuted:
                rest.append(_Normalize(settings))
            case "Pad" if not permuted:
                rest.append(_Pad(settings))
            case "Permute":
                rest.append(_permute)
            case "PadStride" if permuted:
                rest.append(_PadStride(settings))
            case "Resize" | "NormalizeImage" | "Pad" | "PadStride":
                raise ValueError(f"{name} stands where its step cannot be done: {', '.join(order)}")
            case _:
                raise ValueError(f"{name} is not served; Resize, NormalizeImage, Pad, Permute, PadStride are")
    return resize, rest


def _resize(settings: Mapping[str, Any]) -> DetectionResize:
    match settings.get("target_size"):
        case [height, width]:
            size = positive(width), positive(height)
        case other:
            raise ValueError(f"target_size {other!r} is not [height, width]")
    method = settings.get("interp", 2)
    name = NUMBERED[method] if isinstance(method, int) and 0 <= method < len(NUMBERED) else str(method)
    return DetectionResize(
        size=size,
        keep_ratio=bool(settings.get("keep_ratio", False)),
        interpolation=Interpolation.of("cv2", name),
    )


def _permute(image: Pixels) -> Pixels:
    return image.transpose(2, 0, 1)
