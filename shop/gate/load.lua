-- Makes a product's gate anew from PostgreSQL's rows; an older epoch never replaces a newer one.
-- ARGV: product, epoch, left, limit, JSON [[buyer, units], …], JSON [[claim, qty, buyer], …]. Returns 1 when loaded.
local product, epoch = ARGV[1], tonumber(ARGV[2])
local shelf = '{gate}:p:' .. product
if tonumber(redis.call('HGET', shelf, 'epoch') or -1) >= epoch then return 0 end
redis.call('DEL', '{gate}:b:' .. product, '{gate}:c:' .. product, '{gate}:k:' .. product, '{gate}:z:' .. product)
redis.call('HSET', shelf, 'epoch', ARGV[2], 'left', ARGV[3], 'limit', ARGV[4])
redis.call('HINCRBY', shelf, 'version', 1)
redis.call('SADD', '{gate}:products', product)
for _, row in ipairs(cjson.decode(ARGV[5])) do redis.call('HSET', '{gate}:b:' .. product, row[1], row[2]) end
for _, row in ipairs(cjson.decode(ARGV[6])) do
  redis.call('HSET', '{gate}:c:' .. product, row[1], cjson.encode({row[2], row[3], ''}))
end
return 1
