"""The queue as a worker sees it: read entries, claim those of the dead, acknowledge.

An entry is *new* until a consumer reads it, then *pending* with that consumer until it is acknowledged, which is
only done once its verdict or its dead letter is committed. So whatever dies in between, Redis still has it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from redis import Redis, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

from modq.post import FIELD, LANES, Lane, stream_of

GROUP: Final = "modq"
ALIVE: Final = "modq:alive:"
"""Prefix of the consumers' heartbeats: ``alive`` while the consumer is, ``left`` after it said goodbye, gone when it died."""
ATTEMPTS: Final = "modq:attempts"
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_REMEMBER_LEFT_SECONDS: Final = 7 * 86_400
_REMEMBER_ATTEMPTS_MS: Final = 86_400_000
_LOOK_FOR_DEAD_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)

# Atomic, since a consumer that wakes up in between could read entries that would go with it.
_FORGET_CONSUMER: Final = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a lane's stream, not yet understood."""

    lane: Lane
    id: str
    raw: bytes
    """The value of its ``post`` field; of an entry without just that field, all fields as JSON of base64."""
    malformed: bool = False
    """Whether it has other fields than just ``post``."""
    suspect: bool = False
    """Whether the worker that had it died, perhaps of it."""

    @property
    def published_at(self) -> datetime:
        """When Redis accepted it: the first half of its id, which a publisher may have made up."""
        return datetime.fromtimestamp(min(int(self.id.partition("-")[0]) / 1000, _LATEST), UTC)


def connect(url: str) -> Redis:
    """A client that gives up on a silent server after seconds and never repeats a command on its own.

    A repeated XREADGROUP would skip the entries whose reply was lost; the drain reads its own pending ones instead.
    """
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=5,
        socket_connect_timeout=3,
        socket_keepalive=True,
        health_check_interval=5,
        retry=Retry(NoBackoff(), 0),
    )


def new_consumer() -> str:
    """A name that no consumer ever had: what an earlier process left behind belongs to that process."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Inbox:
    """What one consumer reads from the lanes that it serves. Raises ``redis.RedisError`` while the queue is away."""

    def __init__(self, redis: Redis, consumer: str, lanes: Sequence[Lane] = LANES) -> None:
        self.redis: Any = redis
        self.consumer = consumer
        self.lanes = tuple(lane for lane in LANES if lane in lanes)
        self._looked_for_dead = 0.0

    # Reading

    def read_new(self, lane: Lane, count: int) -> list[Entry]:
        """Up to ``count`` entries that nobody has read yet, oldest first, at once: an empty lane gives an empty list."""
        return self._read(lane, ">", count)

    def read_soon(self, count: int, seconds: float) -> list[Entry]:
        """As ``read_new`` from every lane, live first, but waits up to ``seconds`` for an entry to come."""
        streams = {stream_of(lane): ">" for lane in self.lanes}
        reply = self.redis.xreadgroup(GROUP, self.consumer, streams, count=count, block=int(seconds * 1000))
        found = {stream.decode(): items for stream, items in reply}
        return [entry for lane in self.lanes for entry in self._entries(lane, found.get(stream_of(lane), []))]

    def read_own(self, count: int) -> list[Entry]:
        """Entries that this consumer read earlier and has not acknowledged: its last attempt was cut short."""
        return next((own for lane in self.lanes if (own := self._read(lane, "0", count))), [])

    def claim_abandoned(self, count: int, *, at_most_every: float = _LOOK_FOR_DEAD_SECONDS) -> list[Entry]:
        """Take over entries of consumers that died (as suspects) or left; looks no more often than ``at_most_every`` seconds."""
        if time.monotonic() - self._looked_for_dead < at_most_every:
            return []
        for lane in self.lanes:
            for consumer, left in self._gone(lane):
                if claimed := self._claim(lane, consumer, count, suspect=not left):
                    log.warning("claimed", lane=lane, entries=len(claimed), of=consumer, left=left)
                    return claimed
        self._looked_for_dead = time.monotonic()
        return []

    # Finishing

    def acknowledge(self, entries: Iterable[Entry]) -> None:
        """Remove the entries from the queue. Safe to repeat; call it only once their outcome is committed."""
        # Not in MULTI, which a full Redis refuses. XDEL before XACK: cut in between, a pending entry without content
        # is left, which the next reader clears; the other way round, content that nobody would ever clear.
        by_lane: dict[Lane, list[Entry]] = {}
        for entry in entries:
            by_lane.setdefault(entry.lane, []).append(entry)
        pipeline = self.redis.pipeline(transaction=False)
        for lane, together in by_lane.items():
            ids = [entry.id for entry in together]
            pipeline.xdel(stream_of(lane), *ids)
            pipeline.xack(stream_of(lane), GROUP, *ids)
            # Of all, suspects or not: who was stopped during an attempt has handed the entry on under no suspicion.
            pipeline.hdel(ATTEMPTS, *map(_attempt_field, together))
        pipeline.execute()

    def count_attempt(self, entry: Entry) -> int:
        """Count one more attempt at a suspect, before it is made.

        Returns:
            How many attempts there were, this one included.
        """
        # A worker that was only frozen may yet acknowledge the entry, and nobody would take this count back.
        pipeline = self.redis.pipeline(transaction=False)
        counted, _ = pipeline.hincrby(ATTEMPTS, _attempt_field(entry), 1).pexpire(ATTEMPTS, _REMEMBER_ATTEMPTS_MS).execute()
        return int(counted)

    def forgive(self, entries: Iterable[Entry]) -> None:
        """Take back the attempts at these entries: it was the world that failed, not they."""
        if suspects := [_attempt_field(entry) for entry in entries if entry.suspect]:
            self.redis.hdel(ATTEMPTS, *suspects)

    # Being alive

    def renew_heartbeat(self, seconds: float) -> None:
        """Stay alive to the other workers for ``seconds``."""
        # PEXPIRE first: unlike SET it is allowed in a Redis that is full.
        milliseconds = int(seconds * 1000)
        if not self.redis.pexpire(ALIVE + self.consumer, milliseconds):
            self.redis.set(ALIVE + self.consumer, "alive", px=milliseconds)

    def leave(self) -> None:
        """Say goodbye: what is still pending here goes to another worker at once, under no suspicion."""
        self.redis.set(ALIVE + self.consumer, "left", ex=_REMEMBER_LEFT_SECONDS)
        for lane in self.lanes:
            self._forget(lane, self.consumer)

    # Waiting

    def wait_for_entries(self, seconds: float) -> Lane | None:
        """Block until a lane holds entries that nobody has read, or entries that lie abandoned.

        Returns:
            That lane, the live one first, or None when ``seconds`` passed.
        """
        for lane in self.lanes:
            if self._unread_before_waiting(lane):
                return lane
        streams = {stream_of(lane): self._last_read(lane) for lane in self.lanes}
        if not (found := self.redis.xread(streams, count=1, block=int(seconds * 1000))):
            return None
        names = {name.decode() for name, _ in found}
        return next(lane for lane in self.lanes if stream_of(lane) in names)

    def _unread_before_waiting(self, lane: Lane) -> bool:
        """Whether dead consumers, or this idle one, hold entries; looks at most once a second."""
        if time.monotonic() - self._looked_for_dead < _LOOK_FOR_DEAD_SECONDS:
            return False
        if lane == self.lanes[-1]:
            self._looked_for_dead = time.monotonic()
        return any(True for _ in self._gone(lane)) or self._holds(lane, self.consumer)

    # Details

    def _read(self, lane: Lane, position: str, count: int) -> list[Entry]:
        reply = self._in_group(lane, lambda: self.redis.xreadgroup(GROUP, self.consumer, {stream_of(lane): position}, count=count))
        return self._entries(lane, reply[0][1] if reply else [])

    def _claim(self, lane: Lane, consumer: str, count: int, *, suspect: bool) -> list[Entry]:
        stream = stream_of(lane)
        pending = self.redis.xpending_range(stream, GROUP, min="-", max="+", count=count, consumername=consumer)
        if not pending:
            self._forget(lane, consumer)
            return []
        # A second claimer finds them idle for no time and gets none.
        idle = 0 if not suspect else 1000
        ids = [item["message_id"] for item in pending if item["time_since_delivered"] >= idle]
        claimed = self.redis.xclaim(stream, GROUP, self.consumer, min_idle_time=idle, message_ids=ids) if ids else []
        return self._entries(lane, claimed, suspect=suspect)

    def _entries(self, lane: Lane, items: Sequence[tuple[bytes, Mapping[bytes, bytes] | None]], *, suspect: bool = False) -> list[Entry]:
        entries = [_entry(lane, id.decode(), fields, suspect) for id, fields in items if fields]
        if deleted := [id for id, fields in items if not fields]:
            self.redis.xack(stream_of(lane), GROUP, *deleted)
        return entries

    def _gone(self, lane: Lane) -> Iterable[tuple[str, bool]]:
        """Consumers that hold entries and are no longer alive, and whether they left in good order."""
        for consumer in self._in_group(lane, lambda: self.redis.xinfo_consumers(stream_of(lane), GROUP)):
            name = consumer["name"].decode()
            if name != self.consumer and consumer["pending"] and (state := self.redis.get(ALIVE + name)) != b"alive":
                yield name, state == b"left"

    def _holds(self, lane: Lane, consumer: str) -> bool:
        return bool(self.redis.xpending_range(stream_of(lane), GROUP, min="-", max="+", count=1, consumername=consumer))

    def _forget(self, lane: Lane, consumer: str) -> None:
        self._in_group(lane, lambda: self.redis.eval(_FORGET_CONSUMER, 1, stream_of(lane), GROUP, consumer))

    def _last_read(self, lane: Lane) -> bytes:
        groups = self._in_group(lane, lambda: self.redis.xinfo_groups(stream_of(lane)))
        ours = [group for group in groups if group["name"] == GROUP.encode()]
        if not ours:
            self._make_group(lane)
            return b"0-0"
        return bytes(ours[0]["last-delivered-id"])

    def _in_group(self, lane: Lane, command: Any) -> Any:
        """Run a command of the lane's group, making the group first where it is missing."""
        try:
            return command()
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "no such key", "ERR no such key")):
                raise
            self._make_group(lane)
            return command()

    def _make_group(self, lane: Lane) -> None:
        # From 0: acknowledged entries are deleted, so all that is on the stream still has to be judged.
        try:
            self.redis.xgroup_create(stream_of(lane), GROUP, id="0", mkstream=True)
            log.warning("made_group", lane=lane, note="expected on the first start only")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


def _entry(lane: Lane, id: str, fields: Mapping[bytes, bytes], suspect: bool) -> Entry:
    if fields.keys() == {FIELD.encode()}:
        return Entry(lane, id, fields[FIELD.encode()], suspect=suspect)
    evidence = {base64.b64encode(name).decode(): base64.b64encode(value).decode() for name, value in fields.items()}
    return Entry(lane, id, json.dumps(evidence).encode(), malformed=True, suspect=suspect)


def _attempt_field(entry: Entry) -> str:
    return f"{entry.lane}/{entry.id}"
