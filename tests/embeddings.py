"""Made embeddings: people as directions, their photographs near them."""

import numpy as np

from index_store.gallery import Embeddings


def unit(rows: Embeddings) -> Embeddings:
    """The rows with length one."""
    scaled: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def random_embeddings(count: int, dimension: int, seed: int = 0) -> Embeddings:
    """Independent unit vectors, shape (count, dimension)."""
    generator = np.random.default_rng(seed)
    return unit(generator.standard_normal((count, dimension), dtype=np.float32))


def people(count: int, photographs: int, dimension: int, seed: int = 0) -> tuple[Embeddings, list[str]]:
    """So many photographs of each person, person by person, with the person as label."""
    generator = np.random.default_rng(seed)
    centres = unit(generator.standard_normal((count, dimension), dtype=np.float32))
    rows = np.repeat(centres, photographs, axis=0)
    noise = unit(generator.standard_normal(rows.shape, dtype=np.float32))
    labels = [f"person {number}" for number in range(count) for _ in range(photographs)]
    return unit(rows + 0.7 * noise), labels
