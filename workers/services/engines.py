"""How each model is run on each device, with the engine that `auto` stands for."""

from collections.abc import Mapping
from typing import Final

from workers.inference.batching import BatchingOptions
from workers.models.engines.samples import PreparesImages
from workers.models.engines.selection import EngineSelection
from workers.models.engines.session import SessionOptions
from workers.models.home.directory import ModelDirectory
from workers.settings import WorkerSettings

MEASURING: Final = 0.5
"""The part of the start's time that measuring engines may take; loading the models has the rest."""


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
