"""Galleries to and from PaddleX's folder: what needs FAISS, but no segment files."""

from pathlib import Path

from index_store.exchange import ForeignType, ImportedVectors, export_folder, read_folder
from index_store.gallery import GallerySpec, IndexType, Precision
from index_store.gallery_rows import GalleryRows
from index_store.progress import Progress, silent
from index_store.remote_folder import folder_to_read, folder_to_write


def export_gallery(
    rows: GalleryRows,
    key: str,
    place: Path | str,
    *,
    index_type: ForeignType | None = None,
    progress: Progress = silent,
) -> int:
    """Write PaddleX's folder, whole or not at all; see `GalleryStore.export_to`."""
    gallery = rows.gallery(key)
    with folder_to_write(place) as folder:
        return export_folder(rows.database, gallery, folder, index_type=index_type, progress=progress)


def import_gallery(
    rows: GalleryRows,
    key: str,
    place: Path | str,
    *,
    precision: Precision = "fp16",
    index_type: IndexType | None = None,
    model_fingerprint: str | None = None,
    operation_id: str | None = None,
    progress: Progress = silent,
) -> ImportedVectors:
    """A new gallery of the vectors in PaddleX's folder; see `GalleryStore.import_from`."""
    progress("read", 0, 1)
    with folder_to_read(place) as folder:
        found = read_folder(folder)
    spec = GallerySpec(
        dimension=found.embeddings.shape[1],
        metric=found.metric,
        index_type=index_type or found.index_type,
        precision=precision,
        model_fingerprint=model_fingerprint,
    )
    appended = rows.build(
        key,
        spec,
        found.embeddings,
        found.labels,
        external_ids=[str(number) for number in found.ids.tolist()],
        operation_id=operation_id,
        progress=progress,
    )
    return ImportedVectors(appended=appended, spec=spec, repaired=found.repaired)
