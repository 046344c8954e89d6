"""Writes news to the live streams, each once; concurrent writes share one round trip."""

from collections.abc import Sequence

from pulsecart.edge.streams.news import COUNT_KEY, FIREHOSE, STATUS_KEY, News, dashed
from pulsecart.edge.streams.topics import ORDER
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Malformed
from pulsecart.runtime.redis_client import script_error

STREAM_MAX = 1_000
FIREHOSE_MAX = 10_000
STATUS_S = 3600  # lifetime of a cached status
STALE = "equal or smaller"

# KEYS: the firehose, its count, then for each news its stream and the order's cached status (the stream again if there
# is none). ARGV: MAXLEN of the firehose and of a stream, lifetime of a status in seconds, then for each news id, event,
# data, buyer, traceparent, seconds to live (0: no expiry) and status. Every new entry gets the firehose's next number,
# so that a reader notices entries that were trimmed before it read them. The status changes only with its stream: late
# news change neither.
PUBLISH = """
local errors = {}
for i = 3, #KEYS, 2 do
  local at = 4 + (i - 3) / 2 * 7
  local id, event, data, lasts = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 5])
  local added = redis.pcall('XADD', KEYS[i], 'MAXLEN', '~', ARGV[2], id, 'e', event, 'd', data)
  if type(added) == 'table' and added.err then
    errors[#errors + 1] = added.err
  else
    local number = redis.call('INCR', KEYS[2])
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'n', number, 'k', KEYS[i], 'i', id, 'e', event, 'd', data,
               'b', ARGV[at + 3], 't', ARGV[at + 4])
    if lasts > 0 then redis.call('EXPIRE', KEYS[i], lasts) end
    local status = ARGV[at + 6]
    if status == 'gone' then redis.call('DEL', KEYS[i + 1])
    elseif status ~= '' then redis.call('SET', KEYS[i + 1], status, 'EX', ARGV[3]) end
    errors[#errors + 1] = ''
  end
end
return errors
"""


class Publisher:
    """The only writer of a process; made with ``deps.singleton(Publisher)``."""

    def __init__(self, deps: Deps) -> None:
        self._script = deps.redis.register_script(PUBLISH)
        self._batch: Batcher[News, bool] = Batcher(self._write, parallel=2)

    async def publish(self, news: News) -> bool:
        """
        Write news to their stream and to the firehose.

        Returns:
            Whether they were new: a stream accepts only ids above its newest, so duplicates and late news are rejected.

        Raises:
            Malformed: the id is not valid in a stream (sequence 0).
            Unavailable: too many writes are waiting.
            RedisError: the news may or may not have been written; a retry is harmless.
        """
        return await self._batch.submit(news)

    async def _write(self, batch: list[News]) -> Sequence[bool | Exception]:
        keys = [FIREHOSE, COUNT_KEY]
        args: list[str | bytes | int] = [FIREHOSE_MAX, STREAM_MAX, STATUS_S]
        for news in batch:
            keys += (news.key, STATUS_KEY + news.key.removeprefix(ORDER.key) if news.status else news.key)
            args += (dashed(news.id), news.event, news.data, news.buyer_id, news.traceparent, news.lasts_s, news.status)
        return [_outcome(error) for error in await self._script(keys, args)]


def _outcome(error: bytes) -> bool | Exception:
    text = error.decode()
    if "greater than 0-0" in text:
        return Malformed("no-sequence", "News needs its aggregate's sequence, counted from 1.")
    if text and STALE not in text:
        return script_error(text)
    return not text
