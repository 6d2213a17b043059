"""Celery's Redis result backend, without what callers must not see, with what `status` shows.

One script writes a record and publishes it. Celery reads the old record first, so that a task that was
delivered twice does not overwrite its success, and then writes: two round trips, between which another
worker's success can be lost.
"""

from typing import Any, Final

from celery.backends.redis import RedisBackend

# KEYS: the record, which is also its channel. ARGV: the new record, its time to live in seconds (0: none).
_STORE: Final = """
local old = redis.call('GET', KEYS[1])
if old then
  local read, meta = pcall(cjson.decode, old)
  if read and type(meta) == 'table' and meta['status'] == 'SUCCESS' then return 0 end
end
if tonumber(ARGV[2]) > 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
"""


class ResultStore(RedisBackend):
    """Keeps results and typed errors; tracebacks stay in the worker's log."""

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any) -> dict[str, Any]:
        del traceback
        meta: dict[str, Any] = super()._get_result_meta(result, state, None, request)  # type: ignore[misc]
        meta["name"] = getattr(request, "task", None)
        meta["enqueued_at"] = (getattr(request, "headers", None) or {}).get("enqueued_at")
        return meta

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **_: Any,
    ) -> Any:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = task_id
        # `set` bounds the size and tries again while the connection is away; see `_set`.
        self.set(self.get_key_for_task(task_id), self.encode(meta))
        return result

    def _set(self, key: str | bytes, value: str | bytes) -> None:
        lifetime = int(self.expires or 0)  # type: ignore[attr-defined]
        self.client.eval(_STORE, 1, key, value, lifetime)
