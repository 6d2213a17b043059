"""Downloads, against a real HTTP server that breaks, dawdles and lies."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlewheel.errors import ConfigurationError, ModelDownloadFailed, ModelFilesRefused
from tests.model_site import Fault, ModelSite, serving
from workers.models.home.download import DownloadLimits, NotPublishedError, download

CONTENT = bytes(range(256)) * 4000
HASTY = DownloadLimits(timeout=10, attempts=3, pause=0)


@pytest.fixture
def site() -> Iterator[ModelSite]:
    with serving(ModelSite(files={"/m.tar": CONTENT})) as started:
        yield started


def fetch(site: ModelSite, part: Path, limits: DownloadLimits = HASTY) -> bytes:
    download(f"{site.url}/m.tar", part, limits)
    assert [path.name for path in part.parent.iterdir()] == [part.name]
    return part.read_bytes()


def test_a_whole_file_comes_with_its_progress(site: ModelSite, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    download(f"{site.url}/m.tar", tmp_path / "part", HASTY, lambda done, total: steps.append((done, total)))
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert steps[0] == (0, len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert sorted(steps) == steps


def test_a_broken_download_is_continued_where_it_broke(site: ModelSite, tmp_path: Path) -> None:
    site.faults = ["break", "busy", "break"]
    assert fetch(site, tmp_path / "part") == CONTENT
    half = len(CONTENT) // 2
    assert [asked for _, asked in site.asked] == [
        None,
        f"bytes={half}-",
        f"bytes={half}-",
        f"bytes={half + half // 2}-",
    ]


@settings(max_examples=30, deadline=None)
@given(
    faults=st.lists(st.sampled_from(["break", "busy"]), max_size=6),
    ranges=st.booleans(),
    etag=st.booleans(),
    lengths=st.booleans(),
)
def test_whatever_breaks_the_file_is_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, faults: list[Fault], ranges: bool, etag: bool, lengths: bool
) -> None:
    broken = ModelSite(files={"/m.tar": CONTENT[:50_000]}, faults=list(faults))
    broken.ranges, broken.etag, broken.lengths = ranges, etag, lengths or "break" in faults
    part = tmp_path_factory.mktemp("faults") / "part"
    with serving(broken):
        try:
            download(f"{broken.url}/m.tar", part, HASTY)
        except ModelDownloadFailed:
            assert len(faults) >= HASTY.attempts
        else:
            assert part.read_bytes() == CONTENT[:50_000]


def test_the_next_run_continues_what_the_last_one_left(site: ModelSite, tmp_path: Path) -> None:
    site.faults = ["break"]
    with pytest.raises(ModelDownloadFailed, match="What came is kept"):
        download(f"{site.url}/m.tar", tmp_path / "part", replace(HASTY, attempts=1))
    assert fetch(site, tmp_path / "part") == CONTENT
    assert site.asked[-1][1] == f"bytes={len(CONTENT) // 2}-"


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(site: ModelSite, tmp_path: Path) -> None:
    site.faults = ["break"]
    with pytest.raises(ModelDownloadFailed):
        download(f"{site.url}/m.tar", tmp_path / "part", replace(HASTY, attempts=1))
    site.files["/m.tar"] = b"another edition" * 100_000
    assert fetch(site, tmp_path / "part") == b"another edition" * 100_000


def test_a_server_without_ranges_sends_it_all_again(site: ModelSite, tmp_path: Path) -> None:
    site.ranges = False
    site.faults = ["break"]
    assert fetch(site, tmp_path / "part") == CONTENT


def test_without_an_etag_nothing_is_pieced_together(site: ModelSite, tmp_path: Path) -> None:
    site.etag = False
    site.faults = ["break"]
    assert fetch(site, tmp_path / "part") == CONTENT
    assert [asked for _, asked in site.asked] == [None, None]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(site: ModelSite, tmp_path: Path) -> None:
    site.faults = ["break"]
    with pytest.raises(ModelDownloadFailed):
        download(f"{site.url}/m.tar", tmp_path / "part", replace(HASTY, attempts=1))
    (tmp_path / "part").write_bytes(CONTENT + b"more")
    assert fetch(site, tmp_path / "part") == CONTENT


def test_a_download_that_is_always_cut_off_is_given_up(site: ModelSite, tmp_path: Path) -> None:
    site.faults = ["busy"] * 9
    with pytest.raises(ModelDownloadFailed, match="HTTP 503"):
        fetch(site, tmp_path / "part")
    assert len(site.asked) == HASTY.attempts


def test_a_silent_server_is_given_up(site: ModelSite, tmp_path: Path) -> None:
    site.faults = ["silence"]
    with pytest.raises(ModelDownloadFailed, match="timed out"):
        download(f"{site.url}/m.tar", tmp_path / "part", replace(HASTY, timeout=0.2, attempts=1))


def test_a_download_that_takes_too_long_is_given_up(site: ModelSite, tmp_path: Path) -> None:
    with pytest.raises(ModelDownloadFailed, match="took longer than 0 s"):
        download(f"{site.url}/m.tar", tmp_path / "part", replace(HASTY, patience=0))


@pytest.mark.parametrize("lengths", [True, False], ids=["announced", "unannounced"])
def test_a_file_that_is_too_large_is_refused(site: ModelSite, tmp_path: Path, lengths: bool) -> None:
    site.lengths = lengths
    with pytest.raises(ModelFilesRefused, match="more than the 1000 bytes"):
        fetch(site, tmp_path / "part", replace(HASTY, max_bytes=1000))
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_length_comes_whole(site: ModelSite, tmp_path: Path) -> None:
    site.lengths = False
    assert fetch(site, tmp_path / "part") == CONTENT


def test_a_missing_file_has_an_error_of_its_own(site: ModelSite, tmp_path: Path) -> None:
    with pytest.raises(NotPublishedError, match="does not exist"):
        download(f"{site.url}/other.tar", tmp_path / "part", HASTY)
    assert len(site.asked) == 1


def test_a_redirect_is_followed(site: ModelSite, tmp_path: Path) -> None:
    site.redirects["/moved.tar"] = f"{site.url}/m.tar"
    download(f"{site.url}/moved.tar", tmp_path / "part", HASTY)
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_redirect_to_another_scheme_is_refused(site: ModelSite, tmp_path: Path) -> None:
    site.redirects["/m.tar"] = "ftp://127.0.0.1/m.tar"
    with pytest.raises(ModelDownloadFailed, match="not https"):
        fetch(site, tmp_path / "part")


def test_a_host_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ModelDownloadFailed, match="try again, or name another source"):
        download(f"http://127.0.0.1:{port}/m.tar", tmp_path / "part", HASTY)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "m.tar", "https:///m.tar", "ftp://site/m.tar"])
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not an https address"):
        download(url, tmp_path / "part", HASTY)


def test_a_folder_that_is_not_there_is_a_typed_error(site: ModelSite, tmp_path: Path) -> None:
    with pytest.raises(ModelDownloadFailed, match="cannot be written"):
        download(f"{site.url}/m.tar", tmp_path / "nowhere" / "part", HASTY)
