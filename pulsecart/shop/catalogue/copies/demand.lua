-- Marks copies older than this version as stale; they are kept for the time when PostgreSQL cannot be reached.
-- KEYS: product:{id}. ARGV: version, how long a demand without a copy lasts (ms).
local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], '-1 ' .. ARGV[1] .. ' 0 ', 'PX', ARGV[2])
  return 1
end
local version, needed, rest = string.match(held, '^(%-?%d+) (%d+) (.*)$')
if tonumber(needed) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], version .. ' ' .. ARGV[1] .. ' ' .. rest, 'KEEPTTL')
return 1
