-- Removes the keys of these claims, which stay, so that their requests can be repeated as new ones.
-- ARGV: pairs of product, claim.
for at = 1, #ARGV, 2 do
  local product, claim = ARGV[at], ARGV[at + 1]
  local held = redis.call('HGET', '{gate}:c:' .. product, claim)
  if held then
    local qty, buyer, key, sale = unpack(cjson.decode(held))
    redis.call('HSET', '{gate}:c:' .. product, claim, cjson.encode({qty, buyer, '', sale or ''}))
    if key ~= '' then redis.call('HDEL', '{gate}:k:' .. product, key) end
  end
end
