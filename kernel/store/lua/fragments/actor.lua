-- actor: where an actor's keys are, what its record says, and the guard that every transition shares.
-- KEYS[1] is the partition's tag {ns:p}; every key below carries it, so all of them lie in one slot.
local K = KEYS[1]

-- Milliseconds since the epoch: the server's, unless the caller owns the clock (virtual time in tests).
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- Lua prints large numbers as 1.7e+12; times and scores must keep every digit.
local function digits(n) return string.format('%.0f', n) end

local function place_of(address)
  local kind, id = string.match(address, '^([^/]+)/(.+)$')
  local base = K .. ':' .. kind
  return {
    address = address,
    base = base,
    id = id,
    record = base .. ':' .. id,
    journal = base .. '.journal:' .. id,
    open = base .. '.open:' .. id,
    events = base .. '.events:' .. id,
    channel = K .. ':changed:' .. address,
  }
end

-- The key of one of an actor's rarer parts: staged, values.
local function part(a, name) return a.base .. '.' .. name .. ':' .. a.id end

-- The actor with the record's fields that transitions decide on; nil if there is none.
local function load(address)
  local a = place_of(address)
  local v = redis.call('HMGET', a.record, 'status', 'generation', 'appended', 'consumed', 'commands', 'emitted',
    'ready', 'name', 'created', 'kept')
  if not v[1] then return nil, 'NOT_FOUND' end
  if v[1] == 'gone' then return nil, 'GONE' end
  a.status, a.generation, a.appended, a.consumed = v[1], v[2], v[3], v[4]
  a.commands, a.emitted, a.ready = tonumber(v[5]), tonumber(v[6]), v[7] or ''
  a.name, a.created, a.kept, a.rewound = v[8], v[9], 0, false
  if v[10] then -- after a restart: outcomes up to this number were kept; `*` until the first turn has placed the rest again
    local kept, rewound = string.match(v[10], '^(%d+)(%*?)$')
    a.kept, a.rewound = tonumber(kept), rewound == '*'
  end
  return a
end

local function live(a) return a.status == 'running' or a.status == 'canceling' or a.status == 'stopped' end
local function turning(a) return a.status == 'running' or a.status == 'canceling' end

-- What a refused caller needs to go on: the record's status, generation, consumed, appended, commands, emitted.
local function refuse(word, a)
  if not a then return { word } end
  return { word, a.status, a.generation, a.consumed, a.appended, tostring(a.commands), tostring(a.emitted) }
end

-- The guard of every transition of a live actor: nil, or the word to refuse with.
local function unfit(a, generation)
  if not live(a) then return 'ENDED' end
  if a.generation ~= generation then return 'STALE_GENERATION' end
  return nil
end

-- Adds the one ready entry if there is none and a turn may run.
local function wake(a)
  if a.ready == '' and turning(a) then
    a.ready = redis.call('XADD', K .. ':ready', '*', 'a', a.address)
    redis.call('HSET', a.record, 'ready', a.ready)
  end
end

-- Only a script that sees nothing left to do removes the ready entry; so no wake-up is lost.
local function settle(a)
  if turning(a) and not (a.appended == a.consumed and a.emitted == a.commands) then
    wake(a)
    return 'MORE'
  end
  if a.ready ~= '' then
    redis.call('XACK', K .. ':ready', 'dispatchers', a.ready)
    redis.call('XDEL', K .. ':ready', a.ready)
    redis.call('HSET', a.record, 'ready', '')
    a.ready = ''
  end
  return 'IDLE'
end

local function ended(a) return not live(a) and a.status ~= 'scheduled' end

local function number_of(event) return tonumber(string.match(event, '^(%d+)-')) end
