"""The tensors of a file that `torch.save` wrote before PyTorch 1.6, without PyTorch and without unpickling.

The file is five pickles (magic number, protocol, machine, tensors, storage keys), then each storage's length
(int64) and values. The pickles are only read as a list of opcodes (pickletools); the few that such a
file needs are carried out on plain values, the four names that it may mention stand for themselves, and
nothing is ever imported or called.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

_DICT, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
_TYPES: Mapping[str, Any] = {"torch FloatStorage": np.dtype("<f4"), "torch LongStorage": np.dtype("<i8")}
_NAMES = {_DICT, _TENSOR, *_TYPES}


@dataclass(frozen=True, kw_only=True)
class _Name:
    name: str


@dataclass(frozen=True, kw_only=True)
class _Storage:
    type: Any
    key: str


@dataclass(frozen=True, kw_only=True)
class _View:
    """A tensor: where its values lie in a storage. Strides count values, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state(data: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of a state dict by name, each contiguous. Raises ValueError."""
    try:
        return _state(io.BytesIO(data))
    except (LookupError, TypeError, AttributeError) as err:
        raise ValueError("the pickle is damaged") from err


def _state(stream: BinaryIO) -> dict[str, NDArray[Any]]:
    if _read(stream) != _MAGIC or _read(stream) != _PROTOCOL:
        raise ValueError("this is no legacy PyTorch file")
    if not _read(stream).get("little_endian"):
        raise ValueError("the file was written on a big-endian machine")
    state, keys = _read(stream), _read(stream)
    if not isinstance(state, dict) or not all(isinstance(view, _View) for view in state.values()):
        raise ValueError("the file holds more than tensors by name")
    types = {view.storage.key: view.storage.type for view in state.values()}
    storages = {key: _values(stream, types[key]) for key in keys}
    return {name: _array(storages[view.storage.key], view) for name, view in state.items()}


def _values(stream: BinaryIO, type_: Any) -> NDArray[Any]:
    count = int.from_bytes(stream.read(8), "little")
    content = stream.read(count * type_.itemsize)
    if len(content) != count * type_.itemsize:
        raise ValueError("the file is cut off")
    return np.frombuffer(content, type_)


def _array(storage: NDArray[Any], view: _View) -> NDArray[Any]:
    reach = view.offset + sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True))
    if min((view.offset, *view.shape, *view.strides)) < 0 or (0 not in view.shape and reach >= storage.size):
        raise ValueError("a tensor reaches out of its storage")
    strides = [s * storage.itemsize for s in view.strides]
    return np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, strides).copy()


def _read(stream: BinaryIO) -> Any:
    """The value of the next pickle in the stream."""
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(stream):
        machine.run(opcode.name, argument)
    if len(machine.stack) != 1:
        raise ValueError("the pickle is damaged")
    return machine.stack.pop()


class _Machine:
    """The stack and the memo of a pickle, for the opcodes of a state dict."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, opcode: str, argument: Any) -> None:
        if opcode in _IGNORED:
            return
        if opcode in _LITERALS:
            self.stack.append(argument)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode]())
        elif opcode in _PUTS:
            self._memo[argument] = self.stack[-1]
        elif opcode in _GETS:
            self.stack.append(self._memo[argument])
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        else:
            raise ValueError(f"a state dict has no {opcode}")

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self.stack))

    def _since_mark(self) -> list[Any]:
        start = self._marks.pop()
        items, self.stack[start:] = self.stack[start:], []
        return items

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _tuple1(self, _: Any) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def _tuple2(self, _: Any) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def _set_item(self, _: Any) -> None:
        key, value = self.stack[-2:]
        del self.stack[-2:]
        self.stack[-1][key] = value

    def _set_items(self, _: Any) -> None:
        items = self._since_mark()
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _append_items(self, _: Any) -> None:
        items = self._since_mark()
        self.stack[-1].extend(items)

    def _drop(self, _: Any) -> None:
        self.stack.pop()

    def _name(self, name: str) -> None:
        if name not in _NAMES:
            raise ValueError(f"a state dict does not mention {name}")
        self.stack.append(_Name(name=name))

    def _storage(self, _: Any) -> None:
        kind, type_, key, *_place = self.stack.pop()
        if kind != "storage" or type_.name not in _TYPES:
            raise ValueError("the file refers to something that is no storage")
        self.stack.append(_Storage(type=_TYPES[type_.name], key=key))

    def _reduce(self, _: Any) -> None:
        name, arguments = self.stack[-2:]
        del self.stack[-2:]
        if name == _Name(name=_DICT) and arguments == ():
            self.stack.append({})
        elif name == _Name(name=_TENSOR):
            storage, offset, shape, strides = arguments[:4]
            self.stack.append(_View(storage=storage, offset=offset, shape=shape, strides=strides))
        else:
            raise ValueError("the file calls something that makes no tensor")


_IGNORED: Final = {"PROTO", "STOP"}
_LITERALS: Final = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"}
_PUTS: Final = {"BINPUT", "LONG_BINPUT"}
_GETS: Final = {"BINGET", "LONG_BINGET"}
_CONSTANTS: Final[Mapping[str, Callable[[], Any]]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "NEWFALSE": lambda: False,
    "NEWTRUE": lambda: True,
    "NONE": lambda: None,
}
_STEPS: Final[Mapping[str, Callable[[_Machine, Any], None]]] = {
    "APPENDS": _Machine._append_items,
    "BINPERSID": _Machine._storage,
    "BUILD": _Machine._drop,  # a dict's version numbers
    "GLOBAL": _Machine._name,
    "MARK": _Machine._mark,
    "REDUCE": _Machine._reduce,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "TUPLE": _Machine._tuple,
    "TUPLE1": _Machine._tuple1,
    "TUPLE2": _Machine._tuple2,
}
