"""Real weights, and lines to read with them."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from local.checkout import CHECKOUT
from workers.models.engines.session import SessionOptions
from workers.models.families.network import Network
from workers.models.home.catalog import CATALOG
from workers.models.home.home import ModelHome
from workers.models.home.packages import install

Pixels = NDArray[np.uint8]
Render = Callable[..., Pixels]
OpenNetwork = Callable[[str, str], Network]

FONTS = Path(str(files("manimgx_fonts_cjk"))) / "NotoSansCJK-VF.otf.ttc"


@pytest.fixture(scope="session")
def home() -> ModelHome:
    """Every model of the catalog, installed once in the checkout."""
    path = CHECKOUT / ".paddlewheel" / "models"
    install(CATALOG, path)
    return ModelHome(path)


@pytest.fixture(scope="session")
def open_network(home: ModelHome) -> OpenNetwork:
    """A model on an engine, loaded once for all tests."""
    loaded: dict[tuple[str, str], Network] = {}

    def open_(model: str, engine: str) -> Network:
        if (model, engine) not in loaded:
            loaded[model, engine] = Network(home.open(model), SessionOptions(engine=engine, threads=2))  # type: ignore[arg-type]
        return loaded[model, engine]

    return open_


@pytest.fixture(scope="session")
def render() -> Render:
    """One line, dark on light, as BGR."""

    def draw(text: str, size: int = 32, margin: int = 8) -> Pixels:
        font = ImageFont.truetype(str(FONTS), size, index=2)
        left, top, right, bottom = font.getbbox(text)
        image = Image.new("RGB", (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin), "white")
        ImageDraw.Draw(image).text((margin - left, margin - top), text, font=font, fill=(20, 20, 40))
        return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])

    return draw


@pytest.fixture(scope="session")
def page() -> Pixels:
    """scikit-image's page of print at twice its size; it has seven lines that are not cut off."""
    from skimage import data

    grey = cv2.resize(np.asarray(data.page()), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)  # type: ignore[no-untyped-call]
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def first(network: Network, tensor: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """One item's outputs."""
    return tuple(output[0] for output in network.forward(tensor[np.newaxis]))
