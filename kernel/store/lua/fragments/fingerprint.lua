-- fingerprint: what a key of the application holds and when its life ends, digested: equal texts mean that a transaction
-- would read the same. (Unequal ones need not mean another value: a large hash or set that has grown is dumped in another
-- order until Redis has moved all of it into its new table.)
local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- Milliseconds since the epoch; -1 = it has no end, -2 = there is no key. Redis 6 does not tell, but within one
-- millisecond TIME and PTTL add up to it.
local function end_of_life(key)
  local told = redis.pcall('PEXPIRETIME', key)
  if type(told) == 'number' then return told end
  local at, left
  for _ = 1, 100 do
    at = now_ms()
    left = redis.call('PTTL', key)
    if left < 0 then return left end
    if now_ms() == at then break end
  end
  return at + left
end

local function fingerprint(key)
  return redis.sha1hex(redis.call('DUMP', key) or '') .. string.format(':%.0f', end_of_life(key))
end
