"""Pictures that are the same on every machine: from a formula, and of scikit-image's PNG files."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SHAPES = {"wide": (60, 131), "high": (160, 75), "small": (31, 37), "strip": (20, 320), "large": (421, 600)}


def sample_pictures() -> dict[str, Pixels]:
    """By name, as BGR: five of waves and squares, a white one, two photographs."""
    from skimage import data

    photographs = {"cat": data.chelsea(), "cup": data.coffee()}  # type: ignore[no-untyped-call]
    return {
        **{name: waves(*shape) for name, shape in SHAPES.items()},
        "white": np.full((50, 80, 3), 255, dtype=np.uint8),
        **{name: np.ascontiguousarray(image[:, :, ::-1]) for name, image in photographs.items()},
    }


def waves(height: int, width: int) -> Pixels:
    """Slow waves of colour with hard edges and grain over them, no two parts alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    grain = (rows * 7919 + columns * 10_007) ** 2 // 64 % 31
    channels = []
    for channel in range(3):
        slow = (rows * (3 + channel) + columns * (5 - channel)) % 256
        edges = ((rows // 13 + columns // (11 + channel)) % 3) * 40
        channels.append((slow + edges + grain) % 256)
    return np.stack(channels, axis=-1).astype(np.uint8)
