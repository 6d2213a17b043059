"""What an image's header says, read without decoding a pixel.

Each format has a reader that walks the file's own structure once. The walk gives the size, the number of
frames and the orientation, and notices a file that is cut off or damaged, which decoders pass over: some
return grey where a JPEG ends too early.
"""

from dataclasses import dataclass
from typing import Literal

from paddlewheel.errors import ImageCorrupt

MAX_PARTS = 65_536
"""No encoder writes so many chunks or segments; walking them would only burn time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageHeader:
    """Size in pixels as stored, before `orientation` (EXIF's 1 to 8) is applied.

    `alpha`: some pixels may be transparent. `ended` is False for a JPEG that lacks its end marker.
    """

    format: Literal["bmp", "jpeg", "png", "webp"]
    width: int
    height: int
    orientation: int = 1
    alpha: bool = False
    ended: bool = True

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ImageCorrupt(f"The {self.format} image has no size: its header is damaged.")


def truncation_error(kind: str) -> ImageCorrupt:
    """The error for a file that ends too early."""
    return ImageCorrupt(f"The {kind} image is cut off: send the whole file.")


def damage_error(kind: str, what: str) -> ImageCorrupt:
    """The error for a file whose structure is broken."""
    return ImageCorrupt(f"The {kind} image is damaged: {what}.")
