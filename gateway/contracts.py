"""Task contracts over HTTP: where a task takes a stored image, a caller may also send the image itself."""

from collections.abc import Awaitable, Callable
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, create_model

from gateway.images import HttpImage
from paddlewheel.contracts.base import ImageRef

StoreImage = Callable[[HttpImage], Awaitable[ImageRef]]


@cache
def over_http(model: type[BaseModel]) -> type[BaseModel]:
    """Derive the contract with `HttpImage` in place of `ImageRef`; the model itself if it has none."""
    kinds = {name: info.rebuild_annotation() for name, info in model.model_fields.items()}
    changed = {
        name: (exchanged, model.model_fields[name])
        for name, kind in kinds.items()
        if (exchanged := _replace_images(kind)) != kind
    }
    if not changed:
        return model
    made: type[BaseModel] = create_model(f"{model.__name__}OverHttp", __base__=model, **changed)  # type: ignore[call-overload]
    made.__doc__ = model.__doc__
    return made


def _replace_images(kind: Any) -> Any:
    if kind is ImageRef:
        return HttpImage
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return over_http(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if not arguments or origin is None:
        return kind
    if origin is Annotated:
        return Annotated[(_replace_images(arguments[0]), *arguments[1:])]
    exchanged = tuple(_replace_images(each) for each in arguments)
    if exchanged == arguments:
        return kind
    return Union[exchanged] if origin in (Union, UnionType) else origin[exchanged]  # noqa: UP007 - built at run time


async def store_images(value: Any, store: StoreImage) -> Any:
    """Store every image of a request, and return the request as plain data for its task."""
    if isinstance(value, HttpImage):
        return (await store(value)).model_dump(exclude_none=True)
    if isinstance(value, BaseModel):
        given = [name for name in type(value).model_fields if name in value.model_fields_set]
        return {name: await store_images(getattr(value, name), store) for name in given}
    if isinstance(value, (list, tuple)):
        return [await store_images(each, store) for each in value]
    return value
