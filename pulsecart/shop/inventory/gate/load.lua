-- Rebuilds a product's gate from PostgreSQL's rows; an older epoch never replaces a newer one.
-- ARGV: product, epoch, left, limit, JSON [[buyer, units], …], JSON [[claim, qty, buyer, sale], …], JSON of the sale's
-- [[buyer, units], …], and of a sale with a limit: sale, limit, its end in ms; else '', 0, 0. Returns 1 when loaded.
local product, epoch = ARGV[1], tonumber(ARGV[2])
local shelf = '{gate}:p:' .. product
if tonumber(redis.call('HGET', shelf, 'epoch') or -1) >= epoch then return 0 end
redis.call('DEL', '{gate}:b:' .. product, '{gate}:s:' .. product, '{gate}:c:' .. product, '{gate}:k:' .. product, '{gate}:z:' .. product)
redis.call('HSET', shelf, 'epoch', ARGV[2], 'left', ARGV[3], 'limit', ARGV[4],
  'sale', ARGV[8], 'sale_limit', ARGV[9], 'sale_until', ARGV[10])
redis.call('HINCRBY', shelf, 'version', 1)
redis.call('SADD', '{gate}:products', product)
for _, row in ipairs(cjson.decode(ARGV[5])) do redis.call('HSET', '{gate}:b:' .. product, row[1], row[2]) end
for _, row in ipairs(cjson.decode(ARGV[6])) do
  redis.call('HSET', '{gate}:c:' .. product, row[1], cjson.encode({row[2], row[3], '', row[4]}))
end
for _, row in ipairs(cjson.decode(ARGV[7])) do redis.call('HSET', '{gate}:s:' .. product, row[1], row[2]) end
return 1
