-- pool: a pool's keys, and who gets a permit next. Needs actor, members.
local GRANTS_MAX = 100

local function pool_of(name)
  return { name = name, record = K .. ':pool:' .. name, held = K .. ':pool.held:' .. name, waiting = K .. ':pool.waiting:' .. name }
end

-- Tells who asked that it has its permit. Said twice it does no harm.
local function tell_granted(pool, m)
  local _, generation, seq, attempt, ask, address = split_member(m)
  redis.call('XADD', K .. ':outbox', '*', 'w', 'grant', 'to', address, 'from', 'pool/' .. pool.name, 'g', generation, 's', seq,
    'n', attempt, 't', ask)
end

-- Gives permits to those who wait, in their order, while there is room. Returns how many.
local function grant_next(pool, now)
  local limit = tonumber(redis.call('HGET', pool.record, 'limit') or '0') -- nobody has said how many: none yet
  local room = math.min(limit - redis.call('ZCARD', pool.held), GRANTS_MAX)
  if room <= 0 then return 0 end
  local next = redis.call('ZRANGE', pool.waiting, 0, room - 1)
  if #next == 0 then return 0 end
  local held = {}
  for i, m in ipairs(next) do held[2 * i - 1], held[2 * i] = digits(now), m end
  redis.call('ZADD', pool.held, unpack(held))
  redis.call('ZREM', pool.waiting, unpack(next))
  for _, m in ipairs(next) do tell_granted(pool, m) end
  return #next
end
