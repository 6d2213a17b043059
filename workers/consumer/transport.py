"""kombu's Redis transport, with atomic delivery: killing a worker never loses a message.

kombu pops a message and marks it unacknowledged in a second step; a worker killed in between loses it. Here
the server does both atomically: the script below moves the most urgent message out of its list into the hash
of unacknowledged messages, where kombu's own sweep finds it when its worker is lost.

A script cannot block, so an idle worker blocks on a token beside the queue, which producers push with the
message (`paddlewheel.wire.messages.WAKE_KEY`), and polls every `LOOK_SECONDS` for the messages of bare Celery
producers, which push no token.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any, ClassVar, Final

from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as NoReplyError

from paddlewheel.wire.messages import WAKE_KEY

LOOK_SECONDS: Final = 0.02
"""The longest that a bare Celery producer's message waits for an idle worker."""

UNREADABLE_KEY: Final = "paddlewheel:unreadable"
"""The newest thousand messages that cannot be read, for an operator to inspect."""

# KEYS: the unacknowledged messages, their index, the unreadable ones, the tokens of n queues, the lists in
# the order of their urgency. ARGV: now, n. Answers the list's key, the message and its tag, or nothing. The
# entry is kombu's own: message, exchange, routing key. A call that finds no message deletes the tokens: none
# is missed, because every later message brings its own.
_CLAIM: Final = """
local first = 4 + tonumber(ARGV[2])
for i = first, #KEYS do
  local item = redis.call('RPOP', KEYS[i])
  while item do
    local readable, message = pcall(cjson.decode, item)
    local properties = readable and type(message) == 'table' and message['properties']
    local info = type(properties) == 'table' and properties['delivery_info']
    local tag = type(info) == 'table' and properties['delivery_tag']
    if type(tag) == 'string' and type(info['exchange']) == 'string'
        and type(info['routing_key']) == 'string' then
      local route = cjson.encode(info['exchange']) .. ',' .. cjson.encode(info['routing_key'])
      redis.call('HSET', KEYS[1], tag, '[' .. item .. ',' .. route .. ']')
      redis.call('ZADD', KEYS[2], ARGV[1], tag)
      return {KEYS[i], item, tag}
    end
    redis.call('LPUSH', KEYS[3], item)
    redis.call('LTRIM', KEYS[3], 0, 999)
    item = redis.call('RPOP', KEYS[i])
  end
end
for i = 4, first - 1 do redis.call('DEL', KEYS[i]) end
return false
"""

log = logging.getLogger(__name__)

_Channel: Any = kombu_redis.Channel
"""Any: the published types omit most of it."""


class QoS(kombu_redis.QoS):
    """A claimed message is already marked unacknowledged on the server."""

    channel: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember what was delivered to this worker."""
        if delivery_tag == self.channel.claimed_tag:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Remove a message. kombu bypasses `conn_or_acquire`, which could not notice a server that hangs."""
        self._remove(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Requeue a message, or remove it."""
        if requeue:
            self.restore_by_tag(delivery_tag, leftmost=True)
        else:
            self._remove(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def _remove(self, delivery_tag: str) -> None:
        with self.channel.conn_or_acquire() as client:
            self._remove_from_indices(delivery_tag, client.pipeline()).execute()  # type: ignore[attr-defined]


class Channel(_Channel):  # type: ignore[misc]
    """Claims messages while there are any, and otherwise waits for a token."""

    QoS = QoS
    claimed_tag: str | None = None
    silent_until: ClassVar[float] = 0.0
    """Shared by all channels: a process has one broker, and closing a connection uses several channels."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._waiting = False  # whether the command under way waits for a token
        self._empty = False  # whether the last claim found nothing
        self._script: str | None = None
        self._acknowledges = True
        self._shared: Any = None
        super().__init__(*args, **kwargs)  # which pings the server
        Channel.silent_until = 0.0

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Start taking messages. Messages without acknowledgement, such as replies, are simply popped."""
        self._acknowledges = not no_ack
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        if self.connection.client is None:
            # A task that ends after its connection has no channel to acknowledge on. kombu raises an
            # AttributeError, which ends the worker; a connection error is only logged.
            raise ConnectionResetError("The connection to the broker has been closed.")
        return super()._connparams(*args, **kwargs)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """One client for the pool: kombu makes a new one for every acknowledgement, at 0.2 ms of CPU."""
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._shared is None or self._shared.connection_pool is not self.pool:
            self._shared = super()._create_client()
        return self._shared

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """For commands with a reply. After one has timed out, the others fail at once.

        A server that hangs closes no connection. This closes the connection on which a message is awaited, so
        that the worker's loop opens another, or fails and connects again.
        """
        if time.monotonic() < Channel.silent_until:
            raise NoReplyError("The broker does not answer.")
        try:
            with super().conn_or_acquire(client) as connection:
                yield connection
        except NoReplyError:
            Channel.silent_until = time.monotonic() + (self.socket_timeout or 0.0)
            if self._in_poll:
                self._in_poll.disconnect()
            raise

    def _brpop_start(self, timeout: float | None = None) -> None:
        if not self._acknowledges:
            super()._brpop_start(timeout)
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        if self._script is None:
            with self.conn_or_acquire() as client:
                self._script = client.script_load(_CLAIM)
        self._in_poll = self.client.connection
        self._brpop_sent_at = time.monotonic()
        self._waiting, self._empty = self._empty, False
        tokens = [WAKE_KEY.format(queue) for queue in queues]
        if self._waiting:
            self._in_poll.send_command("BRPOP", *tokens, LOOK_SECONDS)
            return
        lists = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]
        keys = [self.unacked_key, self.unacked_index_key, UNREADABLE_KEY, *tokens, *lists]
        self._in_poll.send_command("EVALSHA", self._script, len(keys), *keys, time.time(), len(tokens))

    def _brpop_read(self, **options: Any) -> bool:
        if not self._acknowledges:
            return bool(super()._brpop_read(**options))
        try:
            reply = self._reply(options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if self._waiting:
            raise Empty
        if not reply:
            self._empty = True
            raise Empty
        if time.monotonic() - self._brpop_sent_at > self.visibility_timeout / 2:
            # Not read for lack of credit, and not renewed: it may have been delivered to another worker.
            raise Empty
        self._deliver(*reply)
        return True

    def _reply(self, options: dict[str, Any]) -> Any:
        try:
            command = "BRPOP" if self._waiting else "EVALSHA"
            return self.client.parse_response(self.client.connection, command, **options)
        except NoScriptError:
            # A restarted server has no scripts.
            self._script = None
            raise Empty from None
        except self.connection_errors:
            # The next round connects again.
            self.client.connection.disconnect()
            raise

    def _deliver(self, key: bytes, item: bytes, tag: bytes) -> None:
        queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        try:
            message = loads(bytes_to_str(item))
            self.claimed_tag = message["properties"]["delivery_tag"]
            self.connection._deliver(message, queue)
        except (MemoryError, RedisError, *self.connection_errors):
            raise  # no fault of the message: it stays unacknowledged, and another worker gets it
        except Exception as err:  # whatever a message makes kombu or Celery raise must not end the worker
            log.error("a message of queue %s is unreadable (%s): it is set aside", queue, type(err).__name__)
            self._set_aside(item, tag)
        finally:
            self.claimed_tag = None

    def _set_aside(self, item: bytes, tag: bytes) -> None:
        with self.conn_or_acquire() as client, client.pipeline(transaction=True) as pipeline:
            pipeline.lpush(UNREADABLE_KEY, item)
            pipeline.ltrim(UNREADABLE_KEY, 0, 999)
            pipeline.hdel(self.unacked_key, tag)
            pipeline.zrem(self.unacked_index_key, tag)
            pipeline.execute()
        known = tag.decode(errors="replace")
        if known in self.qos._delivered:
            virtual.QoS.ack(self.qos, known)


class Transport(kombu_redis.Transport):
    """kombu's, with the channel above."""

    Channel = Channel


def use_for_redis() -> None:
    """Make redis:// and rediss:// mean this transport in this process.

    Celery's `broker_transport` would show in the broker's address, by which Flower recognizes the broker.
    """
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
