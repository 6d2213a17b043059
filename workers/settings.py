"""Every setting of a worker, read from the environment in this one place.

A field `max_batch_size` is the variable PADDLEWHEEL_MAX_BATCH_SIZE; lists are separated by commas.
The table in docs/how-to/add-a-worker-machine.md is written from the descriptions below.
"""

import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from paddlewheel.wire.addresses import Addresses
from paddlewheel.wire.environment import Name, Names, read_settings, split
from workers.models.home.home import named_directories

Networks = Annotated[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], BeforeValidator(split)]
Directories = Annotated[Mapping[str, Path], BeforeValidator(named_directories)]
Shape = Annotated[
    tuple[
        Annotated[int, Field(ge=3, le=3)],
        Annotated[int, Field(ge=8, le=640)],
        Annotated[int, Field(ge=8, le=3200)],
    ],
    BeforeValidator(split),
]

_ROOT: Final = Path(__file__).parents[1]


def _text_model(kind: Literal["rec", "det"]) -> Callable[[dict[str, Any]], tuple[str, ...]]:
    """The default of a text setting, by the settings before it.

    The packaged files of PP-OCRv6 are ONNX, which Paddle does not read, and on a GPU only Paddle runs.
    """

    def choose(settings: dict[str, Any]) -> tuple[str, ...]:
        on_paddle = settings.get("engine") == "paddle" or set(settings.get("device", ("cpu",))) != {"cpu"}
        return (f"PP-OCRv4_mobile_{kind}" if on_paddle else f"PP-OCRv6_small_{kind}",)

    return choose


class WorkerSettings(BaseModel):
    """One worker's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    broker_url: str = Field(repr=False, description="The broker: redis://, rediss:// or unix://.")
    result_url: str = Field(repr=False, description="Where results are kept; the broker's server by default.")
    blob_url: str = Field(
        repr=False, description="Where images are kept: Redis protocol, file:///folder, or an fsspec URL."
    )
    broker_timeout: float = Field(
        5,
        gt=0,
        description="Seconds without a reply from broker or result store after which a connection is lost.",
    )
    database_url: str = Field(
        "", repr=False, description="Postgres, for galleries and dead letters; empty for none."
    )
    result_ttl: float = Field(6 * 3600, gt=0, description="Seconds that a result is kept.")
    blob_ttl: float = Field(3600, gt=0, description="Seconds that an image is kept after it was put.")
    queues: Names = Field(("gpu", "index", "batch"), min_length=1, description="Queues that it takes from.")
    concurrency: int = Field(
        0, ge=0, description="Tasks at a time; 0 means twice the batch size, at least 16."
    )
    visibility_timeout: float = Field(
        30, ge=2, description="Seconds after which a worker that is silent has lost its tasks to another."
    )
    max_deliveries: int = Field(
        4, ge=2, le=100, description="Workers that one task may cost before it becomes a dead letter."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")
    shutdown_timeout: float = Field(
        25, ge=0, description="Seconds for what runs after SIGTERM; then it goes to another worker."
    )
    ready_file: Path | None = Field(None, description="Exists while the worker takes tasks.")
    live_file: Path | None = Field(None, description="Touched every second while the worker's loop turns.")
    liveness_timeout: float = Field(
        120, gt=1, description="Seconds without a turn after which the worker counts as stuck."
    )

    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of Prometheus' metrics, on /metrics; 0 for none."
    )
    metrics_host: str = Field("127.0.0.1", description="The address that metrics are served on.")

    device: Names = Field(
        ("cpu",),
        min_length=1,
        description="cpu, or cpu,cpu for two processes on it; gpu:0, or gpu:0,1 for a process on each.",
    )
    engine: Literal["auto", "paddle", "openvino", "onnxruntime"] = Field(
        "auto",
        description="auto measures the engines that can load a model and takes the fastest that is right.",
    )
    model_home: Path = Field(
        _ROOT / ".paddlewheel" / "models", description="The folder of model directories."
    )
    model_directories: Directories = Field(
        {}, description="Models outside of the model home, as name=/path,other=/path."
    )
    recognition_models: Names = Field(
        default_factory=_text_model("rec"),
        description="Text recognizers served, the first is the default; or none. "
        "On a GPU and with the engine paddle it is PP-OCRv4_mobile_rec unless set.",
    )
    detection_models: Names = Field(
        default_factory=_text_model("det"),
        description="Text detectors served, the first is the default; or none. "
        "On a GPU and with the engine paddle it is PP-OCRv4_mobile_det unless set.",
    )
    orientation_model: Name = Field(
        "ch_ppocr_mobile_v2.0_cls", description="What turns lines that stand upside down; or none."
    )
    face_detection_models: Names = Field(
        ("CenterFace",), description="Face detectors served, the first is the default; none for no faces."
    )
    face_feature_models: Names = Field(
        ("DlibFaceResNet",), description="Face embedders served, the first is the default; or none."
    )
    face_feature_flip: bool = Field(
        False, description="Whether the features of the mirrored face are added, as by PaddleX's flip."
    )
    image_feature_models: Names = Field(
        ("EfficientNet-Lite0_feature",),
        description="Image embedders served, the first is the default; or none.",
    )
    classification_models: Names = Field(
        ("EfficientNet-Lite0",), description="Classifiers served, the first is the default; or none."
    )
    segment_url: str = Field(
        str(_ROOT / ".paddlewheel" / "segments"),
        description="Where galleries have their files: a folder of this machine, or an fsspec URL.",
    )
    segment_copies: Path = Field(
        _ROOT / ".paddlewheel" / "segment-copies",
        description="Local copies of gallery files that are at a URL.",
    )
    exchange_url: str = Field(
        str(_ROOT / ".paddlewheel" / "exchange"),
        description="Folder or fsspec URL that galleries are imported from and exported to.",
    )
    batch_roots: Names = Field(
        (),
        description="Folders and fsspec URLs that batch jobs read and write below; none for no such place.",
    )
    batch_shard_size: int = Field(100, ge=1, le=10_000, description="Lines of a batch job that are one task.")
    batch_window: int = Field(
        8,
        ge=1,
        le=1000,
        description="Tasks of all batch jobs that are under way at a time; each holds one of the task slots.",
    )
    batch_keep: float = Field(
        7 * 86_400,
        gt=0,
        description="Seconds that the parts of a stopped batch job, or one with failed lines, are kept.",
    )
    batch_keep_jobs: float = Field(
        30 * 86_400, gt=0, description="Seconds that an ended batch job is listed; its result file stays."
    )
    batch_url_inputs: bool = Field(
        False, description="Whether the images of batch jobs may be fetched by their https address."
    )
    batch_url_hosts: Names = Field(
        (), description="Hosts that they may come from; empty for all public ones."
    )
    batch_url_networks: Networks = Field((), description="Private networks that they may come from.")
    batch_url_allow_http: bool = Field(False, description="Whether plain http addresses are fetched too.")

    precision: Literal["fp32", "fp16"] = Field("fp32", description="fp16 needs a GPU.")
    use_tensorrt: bool = Field(False, description="Paddle's TensorRT subgraphs; needs a GPU.")
    enable_mkldnn: bool = Field(True, description="Paddle's oneDNN kernels on a CPU.")
    mkldnn_cache_capacity: int = Field(
        32, ge=0, description="Shapes that Paddle's oneDNN keeps kernels of, about 10 MB each; 0: no limit."
    )
    cpu_threads: int = Field(
        0, ge=0, description="Threads of one model run; 0 means the cores divided by the processes."
    )

    input_shape: Shape | None = Field(
        None, description="Text lines' channels, height, width, such as 3,48,320; by default the model's."
    )

    max_batch_size: int = Field(8, ge=1, le=256, description="Items that a model sees at a time.")
    detection_batch_size: int = Field(
        1, ge=1, le=64, description="Pages that a detector sees at a time; more helps on a GPU only."
    )
    max_wait_time: float = Field(
        0.002, ge=0, le=10, description="Seconds that an item waits for companions while the model is idle."
    )
    max_pending: int = Field(256, ge=1, description="Items that wait in the batcher before tasks do.")
    batch_timeout: float = Field(60, gt=0, description="Seconds after which a running batch is given up.")
    model_memory_limit: int = Field(
        0, ge=0, description="MB at which a model process is replaced between two batches; 0: no limit."
    )
    model_memory_max: int = Field(
        0, ge=0, description="MB at which it is killed within a batch; 0: twice the limit, if there is one."
    )
    start_timeout: float = Field(300, gt=0, description="Seconds that loading all models may take.")
    width_step: int = Field(
        1,
        ge=1,
        le=640,
        description="Lines wider than usual get the next multiple of this width; 1 is PaddleX's.",
    )

    max_blob_bytes: int = Field(32 << 20, ge=1, description="Bytes of one image or PDF.")
    max_pixels: int = Field(50_000_000, ge=1, description="Pixels of one image or page.")
    max_pages: int = Field(50, ge=1, description="PDF pages that one task may ask for.")
    pdf_dpi: int = Field(144, ge=36, le=600, description="Resolution at which PDF pages are rendered.")

    @model_validator(mode="before")
    @classmethod
    def _addresses(cls, values: dict[str, Any]) -> dict[str, Any]:
        found = Addresses.find(values.get("broker_url"), values.get("result_url"), values.get("blob_url"))
        return {
            **values,
            "broker_url": found.broker,
            "result_url": found.results,
            "blob_url": found.blobs,
        }

    @model_validator(mode="after")
    def _memory(self) -> Self:
        if 0 < self.model_memory_max < self.model_memory_limit:
            raise ValueError("PADDLEWHEEL_MODEL_MEMORY_MAX has to be at least PADDLEWHEEL_MODEL_MEMORY_LIMIT")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read PADDLEWHEEL_*. Raises ConfigurationError that names what is wrong."""
        return read_settings(cls, environment)

    @property
    def devices(self) -> tuple[str, ...]:
        """One device for each model process: gpu:0,1 is gpu:0 and gpu:1, cpu,cpu is two on the CPU."""
        kind = "cpu"
        found = []
        for part in self.device:
            kind = part.partition(":")[0] if not part.isdigit() else kind
            found.append(f"{kind}:{part}" if part.isdigit() else {"gpu": "gpu:0"}.get(part, part))
        return tuple(found)

    @property
    def task_slots(self) -> int:
        """Tasks at a time."""
        return self.concurrency or max(16, 2 * self.max_batch_size * len(self.devices))

    @property
    def threads(self) -> int:
        """CPU threads of one model run."""
        return self.cpu_threads or max(1, (os.cpu_count() or 1) // len(self.devices))
