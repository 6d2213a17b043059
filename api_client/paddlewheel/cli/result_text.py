"""A result as text for a terminal: lines, and rows of text and score for a table."""

from collections.abc import Sequence
from typing import TypeAlias

from paddlewheel.contracts.faces import DetectedFace, EmbeddedFace, FaceResult, IdentifiedFace
from paddlewheel.contracts.images import ClassifiedImage, ExtractedFeature, SimilarImages
from paddlewheel.contracts.results import Result
from paddlewheel.contracts.text import Page, RecognizedText

Row: TypeAlias = tuple[str, float]


def result_lines(result: Result) -> Sequence[str]:
    """One line for each thing that was found; text alone for a line of text."""
    if isinstance(result, RecognizedText):
        return [result.rec_text]
    if isinstance(result, ExtractedFeature):
        return [f"{result.dimension} floats by {result.model} (--json prints them)"]
    return [f"{text}\t{score:.3f}" for text, score in result_rows(result)] or [empty_text(result)]


def result_rows(result: Result) -> list[Row]:
    """A text and a score for each thing that was found."""
    if isinstance(result, RecognizedText):
        return [(result.rec_text, result.rec_score)]
    if isinstance(result, Page):
        return list(zip(result.rec_texts, result.rec_scores, strict=True))
    if isinstance(result, FaceResult):
        return [_face(face) for face in result.faces]
    if isinstance(result, SimilarImages):
        return [(f"{match.label} (id {match.id})", match.score) for match in result.rec_results]
    if isinstance(result, ClassifiedImage):
        return list(result.class_probs.items())
    return []


def empty_text(result: Result) -> str:
    """The text of a result that found nothing."""
    if isinstance(result, FaceResult):
        return "(no face)"
    return "(nothing is like it)" if isinstance(result, SimilarImages) else "(no text)"


def _face(face: DetectedFace) -> Row:
    left, top, right, bottom = (round(side) for side in face.bbox)
    where = f"{right - left}x{bottom - top} at {left},{top}"
    if isinstance(face, IdentifiedFace):
        best = face.rec_results[0] if face.rec_results else None
        return (f"{best.label}, {where}", best.score) if best else (f"unknown, {where}", face.score)
    if isinstance(face, EmbeddedFace):
        return f"{len(face.feature)} floats, {where}", face.score
    return where, face.score
