-- Keeps a product's copy unless a newer version is held. A version demanded by an event meanwhile stays demanded, so that a
-- read that began before an update is never taken for the state after it.
-- KEYS: product:{id}. ARGV: version, when it was read (ms), document, how long to keep it (ms). Returns 1 where kept.
local held = redis.call('GET', KEYS[1])
local needed = '0'
if held then
  local version, demanded = string.match(held, '^(%-?%d+) (%d+) ')
  if tonumber(version) > tonumber(ARGV[1]) then return 0 end
  needed = demanded
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. needed .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
return 1
