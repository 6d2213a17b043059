"""The composition root: everything that a worker holds is built here, once a process."""

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from redis import Redis

from database.pool import Database
from index_store.planning import SealingPolicy
from index_store.store import GalleryStore
from job_store.dead_letter_outbox import DeadLetterOutbox
from job_store.dead_letter_store import DeadLetterStore
from paddlewheel.blobs.opening import open_blob_store
from paddlewheel.blobs.store import BlobStore
from paddlewheel.contracts.results import Served
from paddlewheel.wire.connection import socket_options
from tasks.batched import load_batched_tasks
from workers.batch_jobs.models import BatchModels
from workers.batch_jobs.runner import BatchJobRunner, DisabledBatchJobs
from workers.consumer.cancellations import RedisCancellations
from workers.consumer.dead_letter_recorder import DeadLetterRecorder
from workers.consumer.deliveries import DeliveryCounter
from workers.consumer.metrics import MetricsServer, WorkerMetrics
from workers.images.loading import LINE_LIMITS, PAGE_LIMITS, ImageLoader
from workers.images.pdf import PdfLimits
from workers.images.prefetch import PrefetchingBlobStore
from workers.inference.batching import DynamicBatcher
from workers.inference.host import ModelHost
from workers.inference.host_config import OPEN_NETWORK, HostConfig
from workers.model_hosts import batching_options, host_config, session_options
from workers.services.faces import BatchedFaces
from workers.services.galleries import GalleryService
from workers.services.gallery_images import GalleryImages
from workers.services.gallery_maintenance import GalleryMaintainer
from workers.services.gallery_search import GallerySearch
from workers.services.pictures import BatchedPictures
from workers.services.served_models import ServedModels, open_models
from workers.services.serving import ServingNotes
from workers.services.text import BatchedTextReader, TextModels
from workers.services.thresholds import default_thresholds
from workers.settings import WorkerSettings


class WorkerResources:
    """What tasks use, and what is closed after the last task."""

    def __init__(
        self,
        images: PrefetchingBlobStore,
        text: BatchedTextReader,
        faces: BatchedFaces,
        pictures: BatchedPictures,
        galleries: GalleryService,
        batch_jobs: BatchJobRunner | DisabledBatchJobs,
        cancellations: RedisCancellations,
        deliveries: DeliveryCounter,
        hosts: Sequence[ModelHost],
        stack: ExitStack,
    ) -> None:
        self.images = images
        self.text = text
        self.faces = faces
        self.pictures = pictures
        self.galleries = galleries
        self.batch_jobs = batch_jobs
        self.cancellations = cancellations
        self.deliveries = deliveries
        self._hosts = hosts
        self._stack = stack

    def is_serving(self) -> bool:
        """Whether at least one host has not failed to start its model process."""
        return not all(host.failed for host in self._hosts)

    def close(self) -> None:
        """Answer what waits, then stop the model processes."""
        self._stack.close()


def build(settings: WorkerSettings, *, loader: str = OPEN_NETWORK) -> WorkerResources:
    """Load and warm up every model. Raises ModelUnknown, ModelUnavailable, ConfigurationError."""
    stack = ExitStack()
    try:
        return _build(settings, loader, stack)
    except BaseException:
        stack.close()
        raise


def _build(settings: WorkerSettings, loader: str, stack: ExitStack) -> WorkerResources:
    models = open_models(settings)
    halves = models.halves
    batching = batching_options(settings)
    options = session_options(settings, models.directories, halves, batching)
    warm_up = {name: half.warmup_shapes for name, half in halves.items()}
    hosts = [
        _start_host(host_config(settings, models.directories, warm_up, options[device], loader), stack)
        for device in settings.devices
    ]
    batcher = DynamicBatcher(hosts, batching, observer=_metrics(settings, hosts, stack))
    stack.callback(batcher.close)
    blobs = PrefetchingBlobStore(
        open_blob_store(settings.blob_url, ttl=settings.blob_ttl, max_bytes=settings.max_blob_bytes)
    )
    stack.callback(blobs.close)
    cancellations = RedisCancellations(connect(settings))
    stack.callback(cancellations.close)
    deliveries = _deliveries(settings, stack)
    served = {
        name: Served(model=name, engine=loaded.engine, device=loaded.device)
        for name, loaded in hosts[0].models.items()
    }
    lines, pages = image_loaders(settings, blobs)
    stack.callback(lines.close)
    stack.callback(pages.close)
    text = TextModels(
        recognition=models.recognition, detection=models.detection, orientation=models.orientation
    )
    serving = ServingNotes(served)
    reader = BatchedTextReader(models=text, serving=serving, batcher=batcher, lines=lines, pages=pages)
    faces, pictures, galleries = _vision(settings, models, batcher, pages, serving, stack)
    batch_jobs = _batch_jobs(settings, BatchModels(load_batched_tasks()), blobs, stack)
    return WorkerResources(
        blobs, reader, faces, pictures, galleries, batch_jobs, cancellations, deliveries, hosts, stack
    )


def _vision(
    settings: WorkerSettings,
    models: ServedModels,
    batcher: DynamicBatcher,
    images: ImageLoader,
    serving: ServingNotes,
    stack: ExitStack,
) -> tuple[BatchedFaces, BatchedPictures, GalleryService]:
    """The services for faces and whole pictures, and the galleries that both search."""
    policy = SealingPolicy()
    embedders = {**models.image_features, **models.face_features}
    store = _galleries(settings, policy, stack)
    search = GallerySearch(store, default_thresholds(embedders))
    faces = BatchedFaces(
        detectors=models.face_detection,
        embedders=models.face_features,
        serving=serving,
        batcher=batcher,
        images=images,
        search=search,
    )
    pictures = BatchedPictures(
        embedders=embedders,
        classifiers=models.classification,
        serving=serving,
        batcher=batcher,
        images=images,
        search=search,
    )
    galleries = GalleryService(
        store, search, GalleryImages(faces, pictures), policy=policy, exchange=settings.exchange_url
    )
    return faces, pictures, galleries


def _galleries(settings: WorkerSettings, policy: SealingPolicy, stack: ExitStack) -> GalleryStore | None:
    """The galleries of the worker's database, if it has one; maintained where the queue `index` is served.

    Every worker deletes its own copies of deleted files: no other process reaches its disk.
    """
    if not settings.database_url:
        return None
    keeper = GalleryMaintainer(
        settings.database_url,
        settings.segment_url,
        settings.segment_copies,
        policy=policy,
        maintain="index" in settings.queues,
    )
    stack.callback(keeper.close)
    keeper.start()
    return keeper.store


def _batch_jobs(
    settings: WorkerSettings, models: BatchModels, blobs: PrefetchingBlobStore, stack: ExitStack
) -> BatchJobRunner | DisabledBatchJobs:
    """The batch jobs of the worker's database, if it has one."""
    if not settings.database_url:
        return DisabledBatchJobs()
    keeper = BatchJobRunner(settings, models, blobs)
    stack.callback(keeper.close)
    return keeper


def _metrics(settings: WorkerSettings, hosts: Sequence[ModelHost], stack: ExitStack) -> WorkerMetrics | None:
    """The metrics, served where a port is set."""
    if not settings.metrics_port:
        return None
    metrics = WorkerMetrics()
    metrics.watch(hosts)
    stack.callback(MetricsServer(metrics, settings.metrics_host, settings.metrics_port).close)
    metrics.listen()
    stack.callback(metrics.close)
    return metrics


def image_loaders(settings: WorkerSettings, blobs: BlobStore) -> tuple[ImageLoader, ImageLoader]:
    """One that loads text lines, one that loads pages."""
    pdf = PdfLimits(dpi=settings.pdf_dpi, max_pages=settings.max_pages)
    lines, pages = (
        replace(limits, max_bytes=settings.max_blob_bytes, max_pixels=settings.max_pixels)
        for limits in (LINE_LIMITS, PAGE_LIMITS)
    )
    return ImageLoader(blobs, lines, pdf), ImageLoader(blobs, pages, pdf)


def connect(settings: WorkerSettings) -> Redis:
    """A connection to the result store that reconnects by itself."""
    return Redis.from_url(settings.result_url, **socket_options(settings.result_url, settings.broker_timeout))


def _deliveries(settings: WorkerSettings, stack: ExitStack) -> DeliveryCounter:
    """The counter of deliveries; with a database, dead letters are recorded there."""
    redis = connect(settings)
    stack.callback(redis.close)
    box = DeadLetterOutbox(redis)
    if settings.database_url:
        database = Database(settings.database_url)
        stack.callback(database.close)
        stack.callback(DeadLetterRecorder(box, DeadLetterStore(database)).close)
    deliveries = DeliveryCounter(redis, box, worker=worker_name(), max_deliveries=settings.max_deliveries)
    stack.callback(deliveries.close)
    return deliveries


def worker_name() -> str:
    """The worker's name in Flower and in logs."""
    return f"worker-{os.getpid()}@{socket.gethostname()}"


def _start_host(config: HostConfig, stack: ExitStack) -> ModelHost:
    host = ModelHost(config)
    stack.callback(host.close)
    host.start()
    return host
