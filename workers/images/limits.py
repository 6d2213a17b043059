"""How large and how narrow an image may be: checked on its header, before a pixel is decoded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ImageTooLarge, ImageTooNarrow, ImageTooSmall

Image = NDArray[np.uint8]
"""(height, width, 3) in BGR, contiguous, upright."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageLimits:
    """The caps of one use of images; sides in pixels, `max_bytes` of the encoded file.

    `max_aspect` is how many times longer one side may be than the other: resizing a strip to a model's
    height can turn a small file into gigabytes. `narrow_advice` says what the caller should do instead.
    """

    max_bytes: int = 32_000_000
    max_pixels: int = 50_000_000
    max_side: int = 20_000
    min_side: int = 3
    max_aspect: float = 100.0
    narrow_advice: str = "cut it into parts"

    def check_bytes(self, data: bytes) -> None:
        """Raises ImageTooLarge."""
        if len(data) > self.max_bytes:
            raise ImageTooLarge(f"The file has {len(data):,} bytes; {self.max_bytes:,} are allowed.")

    def check_size(self, width: int, height: int) -> None:
        """Raises ImageTooLarge, ImageTooSmall, ImageTooNarrow."""
        short, long = (width, height) if width < height else (height, width)
        if width * height > self.max_pixels or long > self.max_side:
            raise ImageTooLarge(
                f"The image has {width:,} x {height:,} pixels; {self.max_pixels:,} pixels and "
                f"{self.max_side:,} on a side are allowed: send a smaller one."
            )
        if short < self.min_side:
            raise ImageTooSmall(
                f"The image has {width} x {height} pixels; a side needs at least {self.min_side}."
            )
        if long > short * self.max_aspect:
            raise ImageTooNarrow(
                f"The image has {width} x {height} pixels: one side is {long / short:.0f} times the "
                f"other and {self.max_aspect:.0f} times is allowed: {self.narrow_advice}."
            )


PAGE_LIMITS = ImageLimits()
LINE_LIMITS = ImageLimits(max_aspect=32.0, narrow_advice="cut it into shorter lines, or send it to ocr.read")
