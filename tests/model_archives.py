"""Tar archives of a test, good and bad."""

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import yaml


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    """A member with those fields of its header."""
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def tar(*members: tuple[tarfile.TarInfo, bytes], **options: Any) -> bytes:
    """The archive of these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, **{"mode": "w", **options}) as archive:
        for info, content in members:
            if content:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if content else None)
    return out.getvalue()


def model_tar(config: Mapping[str, Any], folder: str = "model_infer/") -> bytes:
    """A model as PaddleX packs it: one folder with the graph, the weights and inference.yml."""
    files = {
        "inference.json": b'{"base_code": {}}',
        "inference.pdiparams": bytes(5000),
        "inference.yml": yaml.safe_dump(dict(config), allow_unicode=True).encode(),
    }
    folders = [(member(folder.rstrip("/"), type=tarfile.DIRTYPE), b"")] if folder else []
    return tar(*folders, *((member(f"{folder}{name}"), content) for name, content in files.items()))
