"""The model processes that the settings ask for: their models, their engines and their batches."""

from collections.abc import Mapping
from typing import Final

from workers.inference.batch_queue import BatchingOptions
from workers.inference.host_config import HostConfig, HostedModel
from workers.inference.memory import MemoryBounds
from workers.models.engines.samples import PreparesImages
from workers.models.engines.selection import EngineSelection
from workers.models.engines.session import ItemShapes, SessionOptions
from workers.models.home.directory import ModelDirectory
from workers.settings import WorkerSettings

MEASURING: Final = 0.5
"""The part of `start_timeout` that measuring engines may take; loading the models has the rest."""


def host_config(
    settings: WorkerSettings,
    directories: Mapping[str, ModelDirectory],
    warm_up: Mapping[str, tuple[ItemShapes, ...]],
    options: Mapping[str, SessionOptions],
    loader: str,
) -> HostConfig:
    """What one model process loads."""
    models = tuple(
        HostedModel(
            name=name, path=directory.path, options=options[name], warm_up=warm_up[name], loader=loader
        )
        for name, directory in directories.items()
    )
    return HostConfig(
        models=models,
        start_timeout=settings.start_timeout,
        batch_timeout=settings.batch_timeout,
        memory=MemoryBounds(limit=settings.model_memory_limit << 20, maximum=settings.model_memory_max << 20),
        # A GPU's memory is not asked for: two processes at a time might not fit.
        overlap=all(each.device == "cpu" for each in options.values()),
        environment=thread_environment(settings),
    )


def batching_options(settings: WorkerSettings) -> BatchingOptions:
    """The batch sizes and waiting times of the settings."""
    return BatchingOptions(
        max_batch_size=settings.max_batch_size,
        max_wait_time=settings.max_wait_time,
        max_pending=settings.max_pending,
        max_batch_sizes=dict.fromkeys(
            (*settings.detection_models, *settings.face_detection_models), settings.detection_batch_size
        ),
    )


def session_options(
    settings: WorkerSettings,
    directories: Mapping[str, ModelDirectory],
    models: Mapping[str, PreparesImages],
    batching: BatchingOptions,
) -> dict[str, dict[str, SessionOptions]]:
    """By device, then by model. Raises ModelUnavailable when no engine can load a model."""
    devices = dict.fromkeys(settings.devices)
    with EngineSelection(
        settings.model_home,
        seconds=settings.start_timeout * MEASURING,
        environment=thread_environment(settings),
    ) as selection:
        return {
            device: {
                name: selection.options_for(
                    directory,
                    models[name],
                    _options(settings, device),
                    tuple(sorted({1, batching.size(name)})),
                )
                for name, directory in directories.items()
            }
            for device in devices
        }


def thread_environment(settings: WorkerSettings) -> dict[str, str]:
    """For every process that runs models.

    Libraries size their pools when they are loaded; idle threads must not spin on a shared machine.
    """
    return {"OMP_NUM_THREADS": str(settings.threads), "OMP_WAIT_POLICY": "passive"}


def _options(settings: WorkerSettings, device: str) -> SessionOptions:
    return SessionOptions(
        engine=settings.engine,
        device=device,
        threads=settings.threads,
        precision=settings.precision,
        enable_mkldnn=settings.enable_mkldnn,
        mkldnn_cache_capacity=settings.mkldnn_cache_capacity,
        use_tensorrt=settings.use_tensorrt,
    )
