"""The page of the HTTP interface, looked at in a browser that reaches nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from database.pool import Database
from gateway.keys import hash_key
from job_store.api_keys import ApiKeys
from local.stack import LocalStack
from tests.browser import ABSENT, CHROMIUM, Browser

KEY = "pw_an-example-of-a-key"
LIST_TASKS = '.opblock-get:has([data-path="/v1/tasks"])'


def test_the_page_names_no_other_host(gateway_url: str) -> None:
    page = requests.get(f"{gateway_url}/docs", timeout=30).text
    assert not re.findall(r"https?://", page)
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert requests.get(gateway_url + asset, timeout=30).status_code == 200


@pytest.fixture(scope="module")
def page(guarded_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page, opened once: it takes seconds."""
    if CHROMIUM is None:
        pytest.skip(ABSENT)
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.open(f"{guarded_url}/docs")
        yield browser


def test_a_browser_draws_every_operation(page: Browser) -> None:
    paths = {"/face-recognition-infer", "/v1/tasks/ocr.read", "/v1/galleries", "/metrics"}
    assert page.text(".btn.authorize") == "Authorize"
    drawn = page.wait("[...document.querySelectorAll('[data-path]')].map(each => each.dataset.path)")
    assert paths <= set(drawn)


def test_an_operation_is_tried_out_with_the_key_of_the_dialog_alone(
    page: Browser, stack: LocalStack, tmp_path: Path
) -> None:
    database = Database(stack.servers.database_url)
    ApiKeys(database).add("reader", hash_key(KEY), ["tasks"])
    database.close()
    answer = f"{LIST_TASKS} .live-responses-table .response"
    page.click(f"{LIST_TASKS} .opblock-summary-control")
    page.click(f"{LIST_TASKS} .try-out__btn")
    page.click(f"{LIST_TASKS} .execute")
    assert page.text(f"{answer} .response-col_status").split()[0] == "401"
    assert '"unauthorized"' in page.text(f"{answer} .highlight-code")

    page.click(".btn.authorize")
    page.type("#api_key_value", KEY)
    page.click(".auth-container .authorize")
    page.click(".auth-container .btn-done")
    page.click(f"{LIST_TASKS} .btn-clear")
    page.click(f"{LIST_TASKS} .execute")
    assert page.text(f"{answer} .response-col_status").split()[0] == "200"
    assert '"tasks": []' in page.text(f"{answer} .highlight-code")
    page.scroll_to(LIST_TASKS)
    page.picture(tmp_path / "page.png", height=1300)
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
