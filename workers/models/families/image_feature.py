"""Image and face features, the half that needs no network: a picture to a tensor, an output to an embedding.

The steps are those of PaddleX 3.7.2 (`image_feature/predictor.py`, `face_feature/predictor.py`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed
from workers.models.engines.session import ItemShapes
from workers.models.families.interpolation import LINEAR
from workers.models.families.picture_transforms import PictureTransforms
from workers.models.home.directory import ModelDirectory


class ImageFeature:
    """An embedder of a picture or of a face."""

    def __init__(self, *, name: str, transforms: PictureTransforms, flip: bool = False) -> None:
        """`flip`: the mirrored picture's features are added before the length becomes 1."""
        self.name = name
        self._transforms = transforms
        self._flip = flip

    @classmethod
    def open(cls, directory: ModelDirectory, *, flip: bool = False) -> "ImageFeature":
        """Build it from inference.yml. Raises ModelUnavailable when the config lacks a part."""
        # PaddleX accepts an interpolation and a backend here, and uses neither.
        transforms = PictureTransforms.of(directory, crops=False, interpolation=LINEAR)
        return cls(name=directory.name, transforms=transforms, flip=flip)

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """The shape of a square picture's tensor."""
        shape = self._transforms.warmup_shape
        return (((2, *shape) if self._flip else shape,),)

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        """A picture (BGR, [H, W, 3]) to one tensor [3, H', W'], or [2, 3, H', W'] with the mirrored one.

        Raises ImageTooNarrow.
        """
        tensor = self._transforms.tensor(image)
        return (np.stack([tensor, tensor[:, :, ::-1]]) if self._flip else tensor,)

    def postprocess(self, outputs: tuple[NDArray[Any], ...]) -> NDArray[np.float32]:
        """One item's features [D], or [2, D], to its embedding [D] of length 1. Raises ModelFailed.

        PaddleX divides by a length of 0 and answers with NaN; here that is the model's failure.
        """
        features = outputs[0]
        if self._flip:
            features = features[0] + features[1]
        features = features.reshape(-1)
        length = np.sqrt(np.sum(np.square(features)))
        if not np.isfinite(length) or length == 0:
            raise ModelFailed(f"{self.name} answered with features of length {length}.")
        return np.asarray(features / length, dtype=np.float32)
