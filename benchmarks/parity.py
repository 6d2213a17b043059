"""Does this project answer as PaddleX 3.7.2 does, on the same weights?

    python -m benchmarks.parity [--lines N] [--engine E] [--json]

Text, embedders of pictures and faces and a classifier on the default weights; these and detectors on small
networks with every kind of config. PaddleX runs in an environment of its own (made on the first call),
at batch size 1, one image after the other; ours on the Paddle engine by default. The promise: every text
equal and every score within 1e-4, every line's box within a pixel and its score within 0.01; every number of
an embedding, every score of a class or an object within 2e-5, every corner of an object within 2e-3 pixels.
The exit status is 1 when it does not hold.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from benchmarks.paddlex_reference import MODELS, Job, predict
from benchmarks.picture_parity import PictureParity, compare_pictures
from local.checkout import CHECKOUT
from tests.sample_pictures import sample_pictures
from workers.models.engines.session import SessionOptions
from workers.models.families.network import Network
from workers.models.families.text_crops import crop_line, reading_order
from workers.models.families.text_detection import Polygon, TextDetection
from workers.models.families.text_recognition import TextRecognition
from workers.models.home.home import ModelHome
from workers.models.home.packages import install

Pixels = NDArray[Any]

RECOGNIZER: Final = "PP-OCRv4_mobile_rec"
DETECTOR: Final = "PP-OCRv4_mobile_det"
FONTS: Final = Path(str(files("manimgx_fonts_cjk"))) / "NotoSansCJK-VF.otf.ttc"
PHOTOGRAPHS: Final = CHECKOUT.parent / "shared" / "data" / "faces" / "test"

SCORE_TOLERANCE: Final = 1e-4
# PaddleX pins OpenCV 4.10. In OpenCV 5 minAreaRect's corners differ by 3e-5 pixels and fillPoly's borders by
# a pixel here and there, so a box's mean can differ although the map is the same.
CORNER_TOLERANCE: Final = 1.0
BOX_SCORE_TOLERANCE: Final = 1e-2

# A face of the font collection, and the letters that are written with it.
SCRIPTS: Final = (
    (0, "日本語の文字を認識するモデルと画像の行を読む東京駅前カタカナ"),
    (1, "한국어문자를읽는모델이미지와줄의순서를확인"),
    (2, "飞桨视觉模型任务队列识别文字结果批量处理图像检索发票金额合计地址电话"),
    (3, "繁體中文的文字識別與圖像檢索臺灣電話號碼發票總額"),
    (2, "The quick brown fox, 1,284.50 EUR; order No. 7731 (page 12) e-mail: desk@example.org! "),
    (2, "发票 Invoice No. 2026 合计 total ￥98.70 电话 tel. "),
)
SIZES: Final = (12, 16, 24, 36, 52)
LENGTHS: Final = (1, 3, 6, 12, 25, 50)


@dataclass(frozen=True, kw_only=True)
class TextParity:
    """Lines compared, how many texts are equal, the largest difference of a score."""

    source: str
    lines: int
    widest: int
    equal_texts: int
    largest_score_difference: float

    @property
    def holds(self) -> bool:
        """Whether the promise does."""
        return self.equal_texts == self.lines and self.largest_score_difference <= SCORE_TOLERANCE


@dataclass(frozen=True, kw_only=True)
class BoxParity:
    """Boxes found by each; the largest distance of a corner in pixels, and of a score."""

    source: str
    ours: int
    theirs: int
    largest_corner_difference: float
    largest_score_difference: float

    @property
    def holds(self) -> bool:
        """Whether the promise does."""
        return (
            self.ours == self.theirs
            and self.largest_corner_difference <= CORNER_TOLERANCE
            and self.largest_score_difference <= BOX_SCORE_TOLERANCE
        )


def main() -> int:
    """Compare, print, and say whether the promise holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--lines", type=int, default=300, help="rendered lines")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--engine", choices=("paddle", "openvino"), default="paddle")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    install((RECOGNIZER, DETECTOR), MODELS)
    options = SessionOptions(engine=given.engine, threads=2)
    pages = {"page.png, doubled": doubled_page()}
    photographs = {path.name: read(path) for path in sorted(PHOTOGRAPHS.glob("*.jpg"))}
    pages |= photographs
    boxes, crops = compare_boxes(pages, options)
    pictures = compare_pictures({**sample_pictures(), **photographs}, options)
    lines = rendered_lines(given.lines, random.Random(given.seed))
    texts = [compare_texts("rendered", list(lines), options), compare_texts("cropped", crops, options)]
    report: dict[str, list[Any]] = {"texts": texts, "boxes": boxes, "pictures": pictures}
    holds = all(each.holds for found in report.values() for each in found)
    if given.json:
        lists = {name: [asdict(each) for each in found] for name, found in report.items()}
        print(json.dumps({"holds": holds, **lists}, indent=2))
    else:
        show(texts, boxes, pictures, engine=given.engine, holds=holds)
    return 0 if holds else 1


def compare_texts(source: str, lines: Sequence[Pixels], options: SessionOptions) -> TextParity:
    """The same lines through both recognizers."""
    directory = ModelHome(MODELS).open(RECOGNIZER)
    recognizer, network = TextRecognition.open(directory), Network(directory, options)
    tensors = [recognizer.preprocess(line)[0] for line in lines]
    ours = [recognizer.postprocess(forward(network, tensor)) for tensor in tensors]
    with saved(lines) as paths:
        (theirs,) = predict(Job(model=RECOGNIZER, directory=directory.path, images=paths))
    pairs = list(zip(ours, theirs.answers, strict=True))
    return TextParity(
        source=source,
        lines=len(lines),
        widest=max(tensor.shape[2] for tensor in tensors),
        equal_texts=sum(text == their["text"] for (text, _), their in pairs),
        largest_score_difference=max(abs(score - their["score"]) for (_, score), their in pairs),
    )


def compare_boxes(pages: dict[str, Pixels], options: SessionOptions) -> tuple[list[BoxParity], list[Pixels]]:
    """The same pages through both detectors; also our crops of the lines found."""
    directory = ModelHome(MODELS).open(DETECTOR)
    # PaddleX's default, oneDNN, fails on this model ("ConvertPirAttribute2RuntimeAttribute"), so both go
    # without it.
    detector, network = (
        TextDetection.open(directory),
        Network(directory, replace(options, enable_mkldnn=False)),
    )
    with saved(list(pages.values())) as paths:
        options_of_paddlex = {"engine_config": {"run_mode": "paddle"}}
        (theirs,) = predict(
            Job(model=DETECTOR, directory=directory.path, images=paths, options=options_of_paddlex)
        )
    found, crops = [], []
    for (source, page), their in zip(pages.items(), theirs.answers, strict=True):
        height, width = page.shape[:2]
        ours = detector.postprocess(forward(network, *detector.preprocess(page)), width, height)
        polygons = [polygon for polygon, _ in ours]
        crops += [crop_line(page, polygons[i]) for i in reading_order(polygons)]
        found.append(box_parity(source, ours, their))
    return found, crops


def box_parity(source: str, ours: Sequence[tuple[Polygon, float]], their: dict[str, Any]) -> BoxParity:
    """Each of our boxes against the nearest of theirs."""
    corners, scores = [0.0], [0.0]
    for polygon, score in ours if their["polygons"] else ():
        distances = np.abs(np.array(their["polygons"]) - polygon).max(axis=(1, 2))
        nearest = int(distances.argmin())
        corners.append(float(distances[nearest]))
        scores.append(abs(score - their["scores"][nearest]))
    return BoxParity(
        source=source,
        ours=len(ours),
        theirs=len(their["polygons"]),
        largest_corner_difference=max(corners),
        largest_score_difference=max(scores),
    )


def forward(network: Network, tensor: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """One item's outputs."""
    return tuple(output[0] for output in network.forward(tensor[np.newaxis]))


def rendered_lines(count: int, chance: random.Random) -> Iterator[Pixels]:
    """Lines in six scripts and five sizes, of one letter to fifty, some noisy, some in a plain font."""
    for _ in range(count):
        face, letters = chance.choice(SCRIPTS)
        size, length = chance.choice(SIZES), chance.choice(LENGTHS)
        start = chance.randrange(len(letters))
        text = (letters * 4)[start : start + length].strip() or letters[0]
        plain = text.isascii() and chance.random() < 0.5
        font = ImageFont.load_default(size) if plain else ImageFont.truetype(str(FONTS), size, index=face)
        yield rendered(text, font, chance)


def rendered(text: str, font: Any, chance: random.Random) -> Pixels:
    """Dark on light with a random margin, as BGR."""
    left, top, right, bottom = font.getbbox(text)
    margin = chance.randint(1, 12)
    size = (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin)
    image = Image.new("RGB", size, (chance.randint(200, 255), 250, chance.randint(200, 255)))
    ImageDraw.Draw(image).text((margin - left, margin - top), text, font=font, fill=(20, 25, 60))
    pixels = np.asarray(image)[:, :, ::-1].astype(np.float32)
    noise = np.random.default_rng(chance.randrange(2**32)).normal(
        0, chance.choice((0, 0, 8, 20)), pixels.shape
    )
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def doubled_page() -> Pixels:
    """scikit-image's page of print, at twice its size."""
    from skimage import data

    page = cv2.resize(np.asarray(data.page()), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)  # type: ignore[no-untyped-call]
    return cv2.cvtColor(page, cv2.COLOR_GRAY2BGR)


def read(path: Path) -> Pixels:
    """A photograph as BGR."""
    image = cv2.imread(str(path))
    if image is None:
        raise FileNotFoundError(path)
    return image


@contextmanager
def saved(images: Sequence[Pixels]) -> Iterator[list[Path]]:
    """The images as PNG files, for as long as they are needed."""
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        paths = [Path(folder, f"{number:05d}.png") for number in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            cv2.imwrite(str(path), image)
        yield paths


def show(
    texts: Sequence[TextParity],
    boxes: Sequence[BoxParity],
    pictures: Sequence[PictureParity],
    *,
    engine: str,
    holds: bool,
) -> None:
    """Tables for people."""
    console = Console(width=100)
    lines = Table("lines", "count", "widest", "equal texts", "largest score difference", title=RECOGNIZER)
    for text in texts:
        equal = f"{text.equal_texts / text.lines:.1%}"
        difference = f"{text.largest_score_difference:.1e}"
        lines.add_row(text.source, str(text.lines), str(text.widest), equal, difference)
    console.print(lines)
    found = Table("page", "ours", "theirs", "largest corner, score difference", title=DETECTOR)
    for box in boxes:
        difference = f"{box.largest_corner_difference:.0f} px, {box.largest_score_difference:.1e}"
        found.add_row(box.source, str(box.ours), str(box.theirs), difference)
    console.print(found)
    answers = Table("network", "family", "pictures", "equal answers", "largest difference", title="pictures")
    for each in pictures:
        equal = f"{each.equal / each.pictures:.1%}"
        answers.add_row(each.case, each.family, str(each.pictures), equal, f"{each.largest_difference:.1e}")
    console.print(answers)
    console.print(f"engine {engine}: the promise {'holds' if holds else 'DOES NOT HOLD'}")


if __name__ == "__main__":
    sys.exit(main())
