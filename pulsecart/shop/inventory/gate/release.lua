-- Returns the units of these claims, each once; claims that the gate does not hold are ignored.
-- The buyer stays listed, with the units left, so that no memory answers a repeated request whose order was canceled.
-- ARGV: pairs of product, claim. Returns how many were given back.
local released = 0
for at = 1, #ARGV, 2 do
  local product, claim = ARGV[at], ARGV[at + 1]
  local held = redis.call('HGET', '{gate}:c:' .. product, claim)
  if held then
    local qty, buyer, key, sale = unpack(cjson.decode(held))
    redis.call('HDEL', '{gate}:c:' .. product, claim)
    redis.call('ZREM', '{gate}:z:' .. product, claim)
    redis.call('HINCRBY', '{gate}:p:' .. product, 'left', qty)
    redis.call('HINCRBY', '{gate}:p:' .. product, 'version', 1)
    redis.call('HINCRBY', '{gate}:b:' .. product, buyer, -qty)
    if sale and sale ~= '' and sale == redis.call('HGET', '{gate}:p:' .. product, 'sale') then
      redis.call('HINCRBY', '{gate}:s:' .. product, buyer, -qty)
    end
    if key ~= '' then redis.call('HDEL', '{gate}:k:' .. product, key) end
    released = released + 1
  end
end
return released
