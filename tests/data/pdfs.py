"""PDFs written by hand: as small as the format allows, and damaged or locked where a test asks for it."""

import base64
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PdfPage:
    """A page in points. `drawing` is its content stream; the origin is its lower left corner."""

    width: float = 200
    height: float = 100
    drawing: str = ""
    rotate: int = 0
    resources: str = "/Font<</F 3 0 R>>"
    extra: str = ""


def rectangle(x: float, y: float, width: float, height: float, rgb: str = "1 0 0") -> str:
    """A filled rectangle as a content stream."""
    return f"{rgb} rg {x} {y} {width} {height} re f\n"


def text(words: str, x: float, y: float, size: float) -> str:
    """A line of Helvetica as a content stream."""
    return f"BT /F {size} Tf {x} {y} Td ({words}) Tj ET\n"


def pdf(*pages: PdfPage, catalog: str = "", objects: tuple[bytes, ...] = ()) -> bytes:
    """A PDF of those pages. `objects` are numbered from 4 on, for `catalog` and `extra` to refer to."""
    first = 4 + len(objects)
    kids = " ".join(f"{first + 2 * index} 0 R" for index in range(len(pages)))
    bodies = [
        f"<</Type/Catalog/Pages 2 0 R {catalog}>>".encode(),
        f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *objects,
    ]
    for page in pages:
        bodies.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {page.width} {page.height}]/Rotate {page.rotate}"
            f"/Contents {len(bodies) + 2} 0 R/Resources<<{page.resources}>>{page.extra}>>".encode()
        )
        bodies.append(stream(page.drawing.encode()))
    return _with_table(bodies)


def stream(content: bytes, entries: str = "") -> bytes:
    """A stream object."""
    return f"<<{entries}/Length {len(content)}>>stream\n".encode() + content + b"\nendstream"


def _with_table(bodies: list[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(bodies, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj".encode() + body + b"endobj\n"
    table = len(out)
    out += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    out += f"trailer<</Size {len(bodies) + 1}/Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(out)


# pdf(PdfPage(width=20, height=10, drawing=rectangle(0, 0, 10, 10))) saved by pikepdf 10.17 with
# Encryption(R=6, user="secret", owner="owner"), and again with user="".
LOCKED = base64.b64decode(
    "JVBERi0xLjcKJb/3ov4KMSAwIG9iago8PCAvRXh0ZW5zaW9ucyA8PCAvQURCRSA8PCAvQmFzZVZlcnNpb24gLzEuNyAvRXh0"
    "ZW5zaW9uTGV2ZWwgOCA+PiA+PiAvUGFnZXMgMiAwIFIgL1R5cGUgL0NhdGFsb2cgPj4KZW5kb2JqCjIgMCBvYmoKPDwgL0Nv"
    "dW50IDEgL0tpZHMgWyAzIDAgUiBdIC9UeXBlIC9QYWdlcyA+PgplbmRvYmoKMyAwIG9iago8PCAvQ29udGVudHMgNCAwIFIg"
    "L01lZGlhQm94IFsgMCAwIDIwIDEwIF0gL1BhcmVudCAyIDAgUiAvUmVzb3VyY2VzIDw8IC9Gb250IDw8IC9GIDUgMCBSID4+"
    "ID4+IC9Sb3RhdGUgMCAvVHlwZSAvUGFnZSA+PgplbmRvYmoKNCAwIG9iago8PCAvTGVuZ3RoIDY0IC9GaWx0ZXIgL0ZsYXRl"
    "RGVjb2RlID4+CnN0cmVhbQqFSvXinGmMljJLttyKEzK5M91EZwHUqNBQwzrt/MKJlY15tB15lNpcS0Q9E8DsE2+zWRim3jQT"
    "4rQmYUnu3xLxCmVuZHN0cmVhbQplbmRvYmoKNSAwIG9iago8PCAvQmFzZUZvbnQgL0hlbHZldGljYSAvU3VidHlwZSAvVHlw"
    "ZTEgL1R5cGUgL0ZvbnQgPj4KZW5kb2JqCjYgMCBvYmoKPDwgL0NGIDw8IC9TdGRDRiA8PCAvQXV0aEV2ZW50IC9Eb2NPcGVu"
    "IC9DRk0gL0FFU1YzIC9MZW5ndGggMzIgPj4gPj4gL0ZpbHRlciAvU3RhbmRhcmQgL0xlbmd0aCAyNTYgL08gPGQyNTQwMzQz"
    "YTI0MjU0YjY4MTY3NDVkNWExZGI1MzIzMWNlOTMyNWEwMTQyZGJhNjdjNGE5N2MzNmQ5YWNjOTE3Yjc2YzE5YTk3NDQzNzI2"
    "MjRjOWRmN2I3Yjg3MzVhNj4gL09FIDwwZjgxYmUwMjA0ZTU1ODdlYTc2YTI4Y2Y2MDY3MDFiMTU5ZmEwNDgzMzk5MjZjMmU4"
    "MjY3MWUxNDZhYWZiNDQwPiAvUCAtMTAyOCAvUGVybXMgPGZkNjE0MThjNGNjMDRmOWZjYzQzMWQ5NGMzMDZjZWNlPiAvUiA2"
    "IC9TdG1GIC9TdGRDRiAvU3RyRiAvU3RkQ0YgL1UgPDU2NDUzOTQyZmZkMjIxMWYxYzZjMjMxNzZiYmZjOTJiMDE1ZjA0MTM0"
    "MmQ4ZDk4MzJiMzIxYzA5YzFmNzI0NDdhMTg5NjU2ZjhkMWEyMTFmN2E2OTFiZjFhNTc1YzA5ND4gL1VFIDwyM2ZlYTkxNzky"
    "MDkxMzE3ZWE3ODhjN2E1YTI1N2Y0ZDUxNTk2MGVhZjY5YWI2OTdiNmEzZTBmYjQxZmFhNjFjPiAvViA1ID4+CmVuZG9iagp4"
    "cmVmCjAgNwowMDAwMDAwMDAwIDY1NTM1IGYgCjAwMDAwMDAwMTUgMDAwMDAgbiAKMDAwMDAwMDEzMCAwMDAwMCBuIAowMDAw"
    "MDAwMTg5IDAwMDAwIG4gCjAwMDAwMDAzMjQgMDAwMDAgbiAKMDAwMDAwMDQ1OSAwMDAwMCBuIAowMDAwMDAwNTI5IDAwMDAw"
    "IG4gCnRyYWlsZXIgPDwgL1Jvb3QgMSAwIFIgL1NpemUgNyAvSUQgWzw2NDYzODNhNzAwMGJkMGNmMjM0YjE2OWViOTlhNDM3"
    "MT48NjQ2MzgzYTcwMDBiZDBjZjIzNGIxNjllYjk5YTQzNzE+XSAvRW5jcnlwdCA2IDAgUiA+PgpzdGFydHhyZWYKMTA3OQol"
    "JUVPRgo="
)
"""AES-256; opens with a password only."""
RESTRICTED = base64.b64decode(
    "JVBERi0xLjcKJb/3ov4KMSAwIG9iago8PCAvRXh0ZW5zaW9ucyA8PCAvQURCRSA8PCAvQmFzZVZlcnNpb24gLzEuNyAvRXh0"
    "ZW5zaW9uTGV2ZWwgOCA+PiA+PiAvUGFnZXMgMiAwIFIgL1R5cGUgL0NhdGFsb2cgPj4KZW5kb2JqCjIgMCBvYmoKPDwgL0Nv"
    "dW50IDEgL0tpZHMgWyAzIDAgUiBdIC9UeXBlIC9QYWdlcyA+PgplbmRvYmoKMyAwIG9iago8PCAvQ29udGVudHMgNCAwIFIg"
    "L01lZGlhQm94IFsgMCAwIDIwIDEwIF0gL1BhcmVudCAyIDAgUiAvUmVzb3VyY2VzIDw8IC9Gb250IDw8IC9GIDUgMCBSID4+"
    "ID4+IC9Sb3RhdGUgMCAvVHlwZSAvUGFnZSA+PgplbmRvYmoKNCAwIG9iago8PCAvTGVuZ3RoIDY0IC9GaWx0ZXIgL0ZsYXRl"
    "RGVjb2RlID4+CnN0cmVhbQqv3dXrpfAjtZlYnRf5ebs8hNbZZXyp82MnHpj8fDw90YdbAYnVi6UtSaFLGg8gCO4LiFWY9Fp6"
    "B9YvJwC3b0JtCmVuZHN0cmVhbQplbmRvYmoKNSAwIG9iago8PCAvQmFzZUZvbnQgL0hlbHZldGljYSAvU3VidHlwZSAvVHlw"
    "ZTEgL1R5cGUgL0ZvbnQgPj4KZW5kb2JqCjYgMCBvYmoKPDwgL0NGIDw8IC9TdGRDRiA8PCAvQXV0aEV2ZW50IC9Eb2NPcGVu"
    "IC9DRk0gL0FFU1YzIC9MZW5ndGggMzIgPj4gPj4gL0ZpbHRlciAvU3RhbmRhcmQgL0xlbmd0aCAyNTYgL08gPDMzN2MzMWFh"
    "NjdmMzFlOTcwYjA1MDNjZTNkNTJmYjQ4MzdiOTI0NmIzZmQ0MDY0MGM5YWI5ZWY5ZDM0YTE0Zjc1ZjRhYjk1NmM1YmRmNjQz"
    "YzdlNDU0MWMyMzJkNjQ2OT4gL09FIDw5MjE3Yzc5Njc0N2Q4ZWIwZDA3OTM0YzZlYmNjNTdhMzJlMmY5M2Y4ZTE1ZTk0Y2I4"
    "MDZhMDU0YWM0YWE3NmIwPiAvUCAtMTAyOCAvUGVybXMgPDM0MjZjNmE0ZWY2MzMzMTIwZDllZDk1Y2Q1ZWYwZjdkPiAvUiA2"
    "IC9TdG1GIC9TdGRDRiAvU3RyRiAvU3RkQ0YgL1UgPDZkODExOTgzZTFiZDg0YWQ5ZjE5YmY2MDg4ZmYzMTFlM2UyZmNiNjZh"
    "NDdjZDFlMmYwYTlmMTI2NDYwODUyYWMxZjU3YjBjODE1YWZhMzEyNDliMDljNzhkYTIwY2E5Nz4gL1VFIDw4Y2RjNmM2YzQx"
    "NGEyYmZmM2Y2M2UzYTg0MTlkMTdmYTAxZDZkYTE0YThiZDY2YWYyN2RlOWU4NDg0ZDUxM2VlPiAvViA1ID4+CmVuZG9iagp4"
    "cmVmCjAgNwowMDAwMDAwMDAwIDY1NTM1IGYgCjAwMDAwMDAwMTUgMDAwMDAgbiAKMDAwMDAwMDEzMCAwMDAwMCBuIAowMDAw"
    "MDAwMTg5IDAwMDAwIG4gCjAwMDAwMDAzMjQgMDAwMDAgbiAKMDAwMDAwMDQ1OSAwMDAwMCBuIAowMDAwMDAwNTI5IDAwMDAw"
    "IG4gCnRyYWlsZXIgPDwgL1Jvb3QgMSAwIFIgL1NpemUgNyAvSUQgWzw2NDYzODNhNzAwMGJkMGNmMjM0YjE2OWViOTlhNDM3"
    "MT48NjQ2MzgzYTcwMDBiZDBjZjIzNGIxNjllYjk5YTQzNzE+XSAvRW5jcnlwdCA2IDAgUiA+PgpzdGFydHhyZWYKMTA3OQol"
    "JUVPRgo="
)
"""AES-256; opens without a password, which only protects its permissions."""
