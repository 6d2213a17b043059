"""Celery's Redis result backend, less what callers must not see, plus what `status` shows."""

from typing import Any

from celery.backends.redis import RedisBackend


class ResultStore(RedisBackend):
    """Keeps results and typed errors; tracebacks stay in the worker's log."""

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any) -> dict[str, Any]:
        del traceback
        meta: dict[str, Any] = super()._get_result_meta(result, state, None, request)  # type: ignore[misc]
        meta["name"] = getattr(request, "task", None)
        meta["enqueued_at"] = (getattr(request, "headers", None) or {}).get("enqueued_at")
        return meta
