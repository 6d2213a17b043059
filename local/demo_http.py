"""The demo's HTTP part: calls PaddleX's face service as a client in any language would."""

import base64
import json
import time
import urllib.request
from pathlib import Path

from rich.console import Console

from local.demo_people import GALLERY


def ask_over_http(gateway_url: str, console: Console, output: Path) -> None:
    """Post the group picture to /face-recognition-infer, and save the returned picture."""
    console.rule("[bold]The same over HTTP, in PaddleX's format")
    image = base64.b64encode((output / "group.png").read_bytes()).decode()
    body = json.dumps({"image": image, "indexKey": GALLERY}).encode()
    request = urllib.request.Request(  # noqa: S310 - the gateway of this machine
        f"{gateway_url}/face-recognition-infer", body, {"Content-Type": "application/json"}
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        envelope = json.load(answer)
    taken = (time.perf_counter() - began) * 1000
    result = envelope["result"]
    (output / "group_over_http.jpg").write_bytes(base64.b64decode(result.pop("image")))
    names = [face["recResults"][0]["label"] for face in result["faces"] if face["recResults"]]
    console.print(
        f"POST {gateway_url}/face-recognition-infer: {envelope['errorMsg']} in {taken:.0f} ms, "
        f"{len(result['faces'])} faces, known are {', '.join(names) or 'none'}."
    )
    console.print(f"Every operation, to be tried in a browser: {gateway_url}/docs")
