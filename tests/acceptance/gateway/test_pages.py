"""The page of the HTTP interface, looked at in a browser that reaches nothing else."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import requests

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--window-size=1200,1000",
)


def test_the_page_names_no_other_host(gateway_url: str) -> None:
    page = requests.get(f"{gateway_url}/docs", timeout=30).text
    assert not re.findall(r"https?://", page)
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert requests.get(gateway_url + asset, timeout=30).status_code == 200


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: Debian's package is chromium")
def test_a_browser_draws_every_operation_and_where_the_key_goes(gateway_url: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run([*command, f"{gateway_url}/docs"], capture_output=True, timeout=120, check=True)
    drawn = done.stdout.decode()
    assert 'class="btn authorize' in drawn
    for path in ("/face-recognition-infer", "/v1/tasks/ocr.read", "/v1/galleries", "/metrics"):
        assert f'data-path="{path}"' in drawn, path
