-- Answers many claim requests, each as a whole. A line that the claim holds already is not taken a second time.
-- ARGV: lease_ms, number of committed claims, each as product, claim (their leases end); then per request: claim, buyer, key ('' for none), lines, and per line:
-- product, qty, sale ('*': the one that is open now, '': none).
-- Returns per wish two strings: WON and its lines' epochs | SEEN and the claim that has this key |
-- MISSING, LIMIT or SOLD_OUT and the product.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = now + tonumber(ARGV[1])
local answers = {}
local at = 3
for _ = 1, tonumber(ARGV[2]) do
  redis.call('ZREM', '{gate}:z:' .. ARGV[at], ARGV[at + 1])
  at = at + 2
end

-- A product's shelf is read once and written once, however many of these wishes are for it.
local shelves = {}
local function shelf_of(product)
  local shelf = shelves[product]
  if shelf == nil then
    local found = redis.call('HMGET', '{gate}:p:' .. product, 'left', 'limit', 'epoch', 'sale', 'sale_limit', 'sale_until')
    shelf = found[1] and {left = tonumber(found[1]), limit = tonumber(found[2]), epoch = found[3], taken = 0,
      sale = found[4] or '', sale_limit = tonumber(found[5] or 0), sale_until = tonumber(found[6] or 0)}
    shelves[product] = shelf or false
  end
  return shelf
end

-- The sale whose limit a line counts against, '' for none.
local function sale_of(shelf, asked)
  if shelf.sale_limit == 0 then return '' end
  if asked == '*' then return now < shelf.sale_until and shelf.sale or '' end
  return asked == shelf.sale and asked or ''
end

local function units(hash, product, buyer)
  return tonumber(redis.call('HGET', hash .. product, buyer) or 0)
end

local function refusal(claim, buyer, key, first, count)
  for line = 0, count - 1 do
    local product, qty, asked = ARGV[first + 3 * line], tonumber(ARGV[first + 3 * line + 1]), ARGV[first + 3 * line + 2]
    local shelf = shelf_of(product)
    if not shelf then return 'MISSING', product end
    if redis.call('HEXISTS', '{gate}:c:' .. product, claim) == 0 then
      if key ~= '' then
        local other = redis.call('HGET', '{gate}:k:' .. product, key)
        if other and other ~= claim then return 'SEEN', other end
      end
      if shelf.limit > 0 and units('{gate}:b:', product, buyer) + qty > shelf.limit then return 'LIMIT', product end
      if sale_of(shelf, asked) ~= '' and units('{gate}:s:', product, buyer) + qty > shelf.sale_limit then
        return 'LIMIT', product
      end
      if shelf.left < qty then return 'SOLD_OUT', product end
    end
  end
end

local function take(claim, buyer, key, first, count)
  local epochs = {}
  for line = 0, count - 1 do
    local product, qty, asked = ARGV[first + 3 * line], tonumber(ARGV[first + 3 * line + 1]), ARGV[first + 3 * line + 2]
    local shelf = shelves[product]
    local sale = sale_of(shelf, asked)
    if redis.call('HSETNX', '{gate}:c:' .. product, claim, cjson.encode({qty, buyer, key, sale})) == 1 then
      shelf.left, shelf.taken = shelf.left - qty, shelf.taken + 1
      redis.call('HINCRBY', '{gate}:b:' .. product, buyer, qty)
      if sale ~= '' then redis.call('HINCRBY', '{gate}:s:' .. product, buyer, qty) end
      if key ~= '' then redis.call('HSET', '{gate}:k:' .. product, key, claim) end
      redis.call('ZADD', '{gate}:z:' .. product, deadline, claim)
    end
    epochs[line + 1] = shelf.epoch
  end
  return table.concat(epochs, ',')
end

while at <= #ARGV do
  local claim, buyer, key, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local first = at + 4
  local answer, detail = refusal(claim, buyer, key, first, count)
  if not answer then answer, detail = 'WON', take(claim, buyer, key, first, count) end
  answers[#answers + 1] = answer
  answers[#answers + 1] = detail
  at = first + 3 * count
end
for product, shelf in pairs(shelves) do
  if shelf and shelf.taken > 0 then
    redis.call('HSET', '{gate}:p:' .. product, 'left', shelf.left)
    redis.call('HINCRBY', '{gate}:p:' .. product, 'version', shelf.taken)
  end
end
return answers
