"""Which engines can load a model, and a session of one of them.

Each engine's library is imported by one module, and only when a session of it is opened.
"""

from importlib.util import find_spec

from paddlewheel.errors import ModelUnavailable
from workers.models.engines.session import ENGINES, EngineName, Session, SessionOptions
from workers.models.home.directory import ModelDirectory


def loadable_engines(directory: ModelDirectory) -> tuple[EngineName, ...]:
    """The engines that are installed and can read this directory's files, in the order of `ENGINES`."""
    old_graph = directory.graph is not None and directory.graph.suffix == ".pdmodel"
    reads: dict[EngineName, bool] = {
        "openvino": old_graph or directory.onnx is not None,
        "onnxruntime": directory.onnx is not None,
        "paddle": directory.graph is not None,
    }
    return tuple(engine for engine in ENGINES if reads[engine] and find_spec(engine) is not None)


def choose_engine(directory: ModelDirectory, options: SessionOptions) -> EngineName:
    """The engine that these options mean for this directory; with `auto` the first that can load it.

    `selection.py` measures which one `auto` should be. Raises ModelUnavailable when there is none.
    """
    able = loadable_engines(directory)
    if options.engine != "auto":
        if options.engine not in able:
            raise ModelUnavailable(_unreadable(directory, options.engine))
        return options.engine
    if options.on_gpu:
        able = tuple(engine for engine in able if engine == "paddle")
    if not able:
        raise ModelUnavailable(_unreadable(directory, "paddle" if options.on_gpu else " or ".join(ENGINES)))
    return able[0]


def open_session(directory: ModelDirectory, options: SessionOptions) -> Session:
    """Load the network. Raises ModelUnavailable when the engine is missing or refuses the files."""
    engine = choose_engine(directory, options)
    try:
        return _session(engine, directory, options)
    except ImportError as err:
        raise ModelUnavailable(f"{engine} is installed but cannot be imported: {err}.") from err


def _session(engine: EngineName, directory: ModelDirectory, options: SessionOptions) -> Session:
    match engine:
        case "openvino":
            from workers.models.engines.openvino_session import OpenVinoSession

            return OpenVinoSession(directory, options)
        case "onnxruntime":
            from workers.models.engines.onnx_session import OnnxSession

            return OnnxSession(directory, options)
        case "paddle":
            from workers.models.engines.paddle_session import PaddleSession

            return PaddleSession(directory, options)


def _unreadable(directory: ModelDirectory, engine: str) -> str:
    files = ", ".join(f.name for f in (directory.graph, directory.onnx) if f)
    return (
        f"{engine} cannot load {directory.name} ({files}): install the engine, or choose another; "
        "openvino reads inference.pdmodel and inference.onnx, onnxruntime inference.onnx, "
        "paddle inference.json and inference.pdmodel."
    )
