-- Sets a value with its sequence, unless the held value is as new or newer.
-- KEYS: one. ARGV: sequence, value, ms from now after which it is gone (0: never). Returns 1 where it was set.
local held = redis.call('GET', KEYS[1])
if held and tonumber(string.match(held, '^%d+')) >= tonumber(ARGV[1]) then return 0 end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
end
return 1
