"""Pictures of people for tests: photographs out of published packages, put together and made smaller."""

import io
from pathlib import Path

from PIL import Image

from local.photographs import photographs

OBAMA, BIDEN, COLLINS = "Barack Obama", "Joe Biden", "Eileen Collins"


def portraits(person: str) -> list[Path]:
    """The photographs of one person whose face is whole."""
    return [each.path for each in photographs() if each.person == person and each.whole]


def load_photograph(path: Path, height: int) -> Image.Image:
    """Load a photograph, scaled to that height, RGB."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    return rgb.resize((round(rgb.width * height / rgb.height), height), Image.Resampling.LANCZOS)


def side_by_side(*images: Image.Image) -> Image.Image:
    """One picture of several people, from left to right."""
    group = Image.new("RGB", (sum(each.width for each in images), max(each.height for each in images)))
    left = 0
    for each in images:
        group.paste(each, (left, 0))
        left += each.width
    return group


def jpeg(image: Image.Image, quality: int = 92) -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
