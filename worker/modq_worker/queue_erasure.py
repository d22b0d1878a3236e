"""Erases content that waits on the queue, and never what a living worker has in hand: its verdict would come after us."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from redis import Redis, ResponseError
from redis.exceptions import NoPermissionError

from modq.post import FIELD, LANES, Lane, stream_of
from modq_worker.stream import ALIVE, ATTEMPTS, GROUP
from modq_worker.whose import Quotable, Selector, read_content, without_quotation

_CHUNK: Final = 50
"""Entries read at a time; one may have megabytes."""
_REWRITE_SECONDS: Final = 60.0

# One step for Redis, so that no worker can read an entry between the look at who has it and its removal.
# A replacement is what is to be published in the entry's stead, or empty.
_REMOVE: Final = """
local held = 0
for i = 4, #ARGV, 2 do
  local id, replacement = ARGV[i], ARGV[i + 1]
  local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1)
  if pending['err'] and not string.find(pending['err'], 'NOGROUP') then
    return pending
  end
  local consumer = pending[1] and pending[1][2]
  if consumer and redis.call('GET', ARGV[2] .. consumer) == 'alive' then
    held = held + 1
  elseif #redis.call('XRANGE', KEYS[1], id, id) == 1 then
    if replacement ~= '' then
      redis.call('XADD', KEYS[1], '*', 'post', replacement)
    end
    redis.call('XDEL', KEYS[1], id)
    if consumer then
      redis.call('XACK', KEYS[1], ARGV[1], id)
    end
    redis.call('HDEL', KEYS[2], ARGV[3] .. '/' .. id)
  end
end
return held
"""

Found = Counter[str]
"""How much was found in each place."""


class QueueErasure:
    """What waits in the lanes. Raises ``redis.RedisError`` while the queue is away; all of it is safe to repeat."""

    def __init__(self, redis: Redis, selector: Selector, *, unreadable: bool = False, dry_run: bool = False) -> None:
        self._redis: Any = redis
        self._selector = selector
        self._unreadable = unreadable
        self._dry_run = dry_run

    def erase(self, quotable: set[Quotable] | None) -> Found:
        """Remove the entries that fit, and the quotations in other entries; what a living worker has is counted as ``held``.

        The texts that were removed are added to ``quotable``; None leaves quotations alone.
        """
        found = Found()
        for lane in LANES:
            for chunk in self._chunks(lane):
                self._erase_chunk(lane, chunk, quotable, found)
        return found

    def _erase_chunk(self, lane: Lane, chunk: Mapping[bytes, Mapping[bytes, bytes]], quotable: set[Quotable] | None, found: Found) -> None:
        chosen, requoted = dict[bytes, bytes](), dict[bytes, bytes]()
        for id, fields in chunk.items():
            content = read_content(fields)
            if content is None and self._selector.mentioned_in(b"".join(fields.values())):
                if not self._unreadable:
                    found["unreadable"] += 1
                    continue
                chosen[id] = b""
            elif content and self._selector.fits(content):
                chosen[id] = b""
                if quotable is not None and content.quotable:
                    quotable.add(content.quotable)
            elif content and quotable and content.quotes in quotable and fields.keys() == {FIELD.encode()}:
                requoted[id] = without_quotation(fields[FIELD.encode()])
        self._remove(lane, chosen, f"stream_{lane}", found)
        self._remove(lane, requoted, "quotations", found)

    def _remove(self, lane: Lane, chosen: Mapping[bytes, bytes], place: str, found: Found) -> None:
        if not chosen:
            return
        held = 0
        if not self._dry_run:
            pairs = [word for pair in chosen.items() for word in pair]
            held = int(self._redis.eval(_REMOVE, 2, stream_of(lane), ATTEMPTS, GROUP, ALIVE, lane, *pairs))
        found["held"] += held
        found[place] += len(chosen) - held

    def _chunks(self, lane: Lane) -> Iterator[dict[bytes, Mapping[bytes, bytes]]]:
        after = "-"
        while entries := self._redis.xrange(stream_of(lane), after, "+", count=_CHUNK):
            yield dict(entries)
            after = f"({entries[-1][0].decode()}"


def rewrite_aof(redis: Redis) -> str:
    """Have Redis write its append-only file anew, without what was deleted, and wait for it.

    Returns:
        ``rewritten``; ``no_aof``; ``not_permitted``; ``unfinished`` when it takes longer than a minute; or ``failed``.
    """
    client: Any = redis
    try:
        if not client.info("persistence").get("aof_enabled"):
            return "no_aof"
        # One that is under way already may have begun before the removal, and ours is then refused.
        if not (_until_idle(client) and client.bgrewriteaof() and _until_idle(client)):
            return "unfinished"
        return "rewritten" if client.info("persistence")["aof_last_bgrewrite_status"] == "ok" else "failed"
    except NoPermissionError:
        return "not_permitted"
    except ResponseError:
        return "failed"


def _until_idle(client: Any) -> bool:
    deadline = time.monotonic() + _REWRITE_SECONDS
    while time.monotonic() < deadline:
        state = client.info("persistence")
        if not state.get("aof_rewrite_in_progress") and not state.get("aof_rewrite_scheduled"):
            return True
        time.sleep(0.05)
    return False
