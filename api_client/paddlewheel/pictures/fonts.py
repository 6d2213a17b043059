"""Fonts for text in any script, and text set in them.

Noto Sans CJK holds Chinese, Japanese, Korean, Latin, Greek and Cyrillic letters; the script fonts of Noto
the Arabic, Hebrew, Indic, Thai and other ones. Both come as packages with the extra `pictures`. Where no
font has a character, the empty box of the font is drawn, as everywhere.
"""

import importlib.util
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeAlias, TypeVar

from paddlewheel.errors import MissingExtra

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

P = ParamSpec("P")
T = TypeVar("T")

PICTURES_HINT: Final = "Pictures need more packages: pip install 'paddlewheel[pictures]'."

_REGULAR_WEIGHT: Final = 400
_PROBE_SIZE: Final = 20
_NO_CHARACTER: Final = "\uffff"
_JOINERS: Final = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
_JAPANESE, _KOREAN, _CHINESE = 0, 1, 2  # faces of the collection
_ANY_SCRIPT: Final = ("NotoSans[wght].ttf", "NotoSansSymbols[wght].ttf", "NotoEmoji[wght].ttf")
_SYSTEM_FONT: Final = "DejaVuSans.ttf"


Colour: TypeAlias = tuple[int, int, int]
"""Red, green, blue."""


@dataclass(frozen=True, kw_only=True)
class Typeface:
    """One face of one font file."""

    path: str
    index: int = 0

    def has(self, character: str) -> bool:
        """Whether the face has a glyph of its own for a character."""
        return _has_glyph(self, character)

    def at(self, size: int) -> "FreeTypeFont":
        """The face at a size in pixels, in the regular weight."""
        return _sized(self, size)


def require_pictures() -> None:
    """Tell at once, and not after the work, that the extra is not installed. Raises MissingExtra."""
    for package in ("PIL", "pypdfium2"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(PICTURES_HINT)
    _cjk_collection()


def needs_pictures(draw: Callable[P, T]) -> Callable[P, T]:
    """Raise MissingExtra where a package of the extra cannot be imported while this function runs."""

    @wraps(draw)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return draw(*args, **kwargs)
        except ImportError as err:
            raise MissingExtra(PICTURES_HINT) from err

    return run


class Lettering:
    """One line of text, split into runs of one typeface, in the order in which they are drawn."""

    def __init__(self, text: str) -> None:
        runs = _runs("".join(" " if _is_control(character) else character for character in text))
        self.right_to_left = _starts_right_to_left(text)
        self._runs = runs[::-1] if self.right_to_left else runs

    def width(self, size: int) -> float:
        """Pixels from the start to the end of the line."""
        return sum(face.at(size).getlength(run) for face, run in self._runs)

    def fitting_size(self, width: float, height: float) -> int:
        """The size in pixels at which the line fills, and does not leave, a box."""
        largest = max(1, int(height))
        return max(1, min(largest, int(largest * width / max(self.width(largest), 1.0))))

    def draw(
        self, draw: "ImageDraw", box: tuple[float, float], middle: float, size: int, fill: "Colour | int"
    ) -> None:
        """Draw the line between two x, from the side where it begins, its letters centred on `middle`."""
        left = box[1] - self.width(size) if self.right_to_left else box[0]
        # Ideographs reach from 12 % of the size below the baseline to 88 % above it.
        baseline = middle + 0.37 * size
        for face, run in self._runs:
            font = face.at(size)
            draw.text((left, baseline), run, font=font, fill=fill, anchor="ls")
            left += font.getlength(run)


def _runs(text: str) -> list[tuple[Typeface, str]]:
    """One face for the whole text if any has it all; else a face is kept while it has the characters."""
    faces = _faces(text)
    whole = next((face for face in faces if all(face.has(character) for character in text)), None)
    if whole is not None:
        return [(whole, text)]
    runs: list[tuple[Typeface, str]] = []
    for character in text:
        if runs and (_joins(character) or runs[-1][0].has(character)):
            face, run = runs[-1]
            runs[-1] = (face, run + character)
        else:
            runs.append((next((face for face in faces if face.has(character)), faces[0]), character))
    return runs


def _faces(text: str) -> tuple[Typeface, ...]:
    """The faces that a text may be set in, the preferred first."""
    scripts = {_script_of(character): None for character in text}
    cjk = Typeface(path=_cjk_collection(), index=_cjk_face(set(scripts)))
    own = [face for script in scripts for face in _script_faces(script)]
    return tuple(dict.fromkeys([cjk, *own, *_faces_for_any_script()]))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _joins(character: str) -> bool:
    """Whether a character is part of the letter before it."""
    return unicodedata.category(character).startswith("M") or character in _JOINERS


def _cjk_face(scripts: set[str]) -> int:
    if scripts & {"HIRAGANA", "KATAKANA"}:
        return _JAPANESE
    return _KOREAN if "HANGUL" in scripts else _CHINESE


@cache
def _cjk_collection() -> str:
    path = _packaged("manimgx_fonts_cjk", "NotoSansCJK-VF.otf.ttc")
    if path is None:
        raise MissingExtra(PICTURES_HINT)
    return path


@cache
def _script_faces(script: str) -> tuple[Typeface, ...]:
    path = _packaged("manimgx_fonts", f"NotoSans{script.capitalize()}[wght].ttf")
    return () if path is None else (Typeface(path=path),)


@cache
def _faces_for_any_script() -> tuple[Typeface, ...]:
    """Noto's fonts that are not of one script; last the system's DejaVu Sans, where there is one."""
    found = [path for name in _ANY_SCRIPT if (path := _packaged("manimgx_fonts", name)) is not None]
    return tuple(Typeface(path=path) for path in [*found, _SYSTEM_FONT])


def _packaged(package: str, name: str) -> str | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name(name)
    return str(path) if path.is_file() else None


@lru_cache(maxsize=512)
def _sized(face: Typeface, size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    font = ImageFont.truetype(face.path, size, index=face.index)
    if "[wght]" in face.path or "-VF" in face.path:
        font.set_variation_by_axes([_REGULAR_WEIGHT])
    return font


@lru_cache(maxsize=16384)
def _has_glyph(face: Typeface, character: str) -> bool:
    """Pillow does not tell which characters a font has, but it draws the same box for all it lacks.

    The basic layout, because the other one puts a missing letter together from its parts, badly.
    """
    from PIL import ImageFont

    try:
        font = ImageFont.truetype(
            face.path, _PROBE_SIZE, index=face.index, layout_engine=ImageFont.Layout.BASIC
        )
    except OSError:  # the system has no such font
        return False
    return bytes(font.getmask(character)) != bytes(font.getmask(_NO_CHARACTER))


def _script_of(character: str) -> str:
    """The first word of a character's Unicode name, which is its script's for letters."""
    return unicodedata.name(character, "").partition(" ")[0]


def _starts_right_to_left(text: str) -> bool:
    strong = (unicodedata.bidirectional(character) for character in text)
    return next((kind for kind in strong if kind in ("L", "R", "AL")), "L") != "L"
