"""A small service as its developer writes one after reading the documentation; type checkers check it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from paddlewheel import (
    CLASSIFY_IMAGE,
    IDENTIFY_FACES,
    READ_PAGES,
    RECOGNIZE_TEXT,
    AsyncClient,
    ClassifiedImage,
    ClassifyImage,
    Client,
    IdentifiedFaces,
    IdentifyFaces,
    ImageRef,
    Match,
    PaddlewheelError,
    Page,
    Pending,
    ReadDocument,
    ReadPages,
    RecognizedText,
    RecognizeText,
    Served,
)
from paddlewheel.contracts.faces import IdentifiedFace
from paddlewheel.errors import BlobExpired, DeadlineExceeded
from paddlewheel.in_memory import Handlers, InMemoryClient


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line, or why there is none."""

    name: str
    text: str
    model: str


class PictureService:
    """A service built on the client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def read_page(self, image: Path | bytes) -> str:
        """The text of a page; empty where it came too late."""
        try:
            return self._client.enqueue(READ_PAGES, image, deadline=20).result(timeout=60).text
        except DeadlineExceeded:
            return ""

    def read_lines(self, images: Iterable[bytes]) -> Iterator[Line]:
        """Lines as they are answered."""
        pendings: list[Pending[RecognizedText]] = self._client.enqueue_many(RECOGNIZE_TEXT, images)
        for pending in self._client.as_completed(pendings, timeout=600):
            name = pending.image.input_path or pending.image.blob
            try:
                result = pending.result()
            except BlobExpired:
                raise
            except PaddlewheelError as err:
                yield Line(name=name, text=f"{err.code}: {err.message}", model="")
            else:
                yield Line(name=name, text=result.rec_text, model=result.served.model)

    def who_is_there(self, ref: ImageRef) -> dict[str, float]:
        """The people in a picture by their best scores."""
        found = self._client.enqueue(IDENTIFY_FACES, IdentifyFaces(image=ref, gallery="staff", top_k=1))
        faces = found.result(timeout=60).faces
        return {face.label: face.rec_results[0].score for face in faces if face.label is not None}

    def class_of(self, image: bytes) -> tuple[int, str]:
        """A picture's class."""
        result = self._client.enqueue(CLASSIFY_IMAGE, image, top_k=3).result(timeout=60)
        return result.class_id, result.class_name


async def read_all(client: AsyncClient, images: list[bytes]) -> list[str]:
    """Texts in the order in which they are answered."""
    pendings = await client.enqueue_many(RECOGNIZE_TEXT, images)
    return [(await pending.result()).rec_text async for pending in client.as_completed(pendings)]


def read(request: ReadPages) -> ReadDocument:
    """One page with one line."""
    page = Page(
        input_path=request.image.input_path,
        width=60,
        height=40,
        dt_polys=(((5, 5), (55, 5), (55, 20), (5, 20)),),
        dt_scores=(0.9,),
        rec_texts=("hello",),
        rec_scores=(0.9,),
        angles=(0,),
    )
    return ReadDocument(page_count=1, pages=(page,))


def recognize(request: RecognizeText) -> RecognizedText:
    """The model's name as the text."""
    served = Served(model=request.model or "m", engine="paddle", device="cpu")
    return RecognizedText(rec_text=served.model, rec_score=0.9, served=served)


def identify(request: IdentifyFaces) -> IdentifiedFaces:
    """One known face."""
    match = Match(label="Ann Lee", score=0.97, id=7)
    face = IdentifiedFace(bbox=(10, 5, 40, 35), score=0.9, rec_results=(match,))
    return IdentifiedFaces(width=60, height=40, gallery=request.gallery, faces=(face,))


def classify(request: ClassifyImage) -> ClassifiedImage:
    """A cat."""
    del request
    return ClassifiedImage(class_id=1, class_name="cat", class_probs={"cat": 0.9})


HANDLERS: Handlers = {
    READ_PAGES: read,
    RECOGNIZE_TEXT: recognize,
    IDENTIFY_FACES: identify,
    CLASSIFY_IMAGE: classify,
}


def service_without_servers() -> tuple[PictureService, InMemoryClient]:
    """The service over handlers, for its tests."""
    client = InMemoryClient(HANDLERS)
    return PictureService(client), client
