-- ending: the one way an actor ends. Everything open is taken back, whoever waits is told, and nothing is left to run.
local SWEEP_MAX = 100

local function index_key(a, status) return K .. ':index:' .. a.name .. ':' .. status end

local function set_status(a, status)
  redis.call('ZREM', index_key(a, a.status), a.address)
  redis.call('ZADD', index_key(a, status), a.created, a.address)
  redis.call('HSET', a.record, 'status', status)
  a.status = status
end

-- Takes back up to `limit` open commands; true if some are left. No trace is kept: a restart places them again.
local function take_back(a, limit)
  local cursor, done = '0', {}
  repeat
    local page = redis.call('HSCAN', a.open, cursor, 'COUNT', limit)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      if #done == limit then break end
      local seq, o = page[2][i], parse_open(page[2][i + 1])
      revoke(a, seq, o)
      if is_child(o) then dismiss(a, 'cancel', seq, redis.call('HGET', a.journal, 'c' .. seq)) end
      done[#done + 1] = seq
    end
  until cursor == '0' or #done > 0
  if #done == 0 then return false end
  redis.call('HDEL', a.open, unpack(done))
  return redis.call('EXISTS', a.open) == 1
end

-- Takes back SWEEP_MAX open commands; a `sweep` member in delayed goes on with the rest.
local function sweep(a, now)
  if take_back(a, SWEEP_MAX) then
    schedule('delayed', now, own_member(a, 'sweep'))
  end
end

-- Results leave with their payload in the message: the actor may be cleaned up before they are delivered.
local function tell(a, who, status, payload)
  local to, generation, seq, token = string.match(who, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)$')
  if to then post(a, 'outcome', to, { 'pg', generation, 's', seq, 't', token, 'st', status, 'p', payload }) end
end

local function finish(a, now, status, payload)
  local more = redis.call('HMGET', a.record, 'parent', 'waiters', 'on_complete', 'retention')
  redis.call('ZREM', K .. ':delayed', own_member(a, a.status == 'scheduled' and 'start' or 'ready'), own_member(a, 'deadline'),
    own_member(a, 'reconcile'))
  set_status(a, status)
  sweep(a, now)
  redis.call('DEL', part(a, 'staged'), a.events)
  redis.call('HSET', a.journal, 'result', status .. '|' .. digits(now) .. '\n' .. payload)
  redis.call('HSET', a.record, 'ended', digits(now))
  if more[1] then tell(a, more[1], status, payload) end
  for who in string.gmatch(more[2] or '', '[^\n]+') do tell(a, who, status, payload) end
  if more[3] then
    post(a, 'on_complete', '', { 'pg', a.generation, 'st', status, 'p', payload })
    -- By generation, since each has an actor of its own that goes with this one.
    local before = redis.call('HGET', a.record, 'completions')
    redis.call('HSET', a.record, 'completions', before and before .. ' ' .. a.generation or a.generation)
  end
  if more[4] then redis.call('ZADD', K .. ':expiry', digits(now + tonumber(more[4])), a.address) end
  settle(a)
  redis.call('PUBLISH', K .. ':ended:' .. a.address, status)
end
