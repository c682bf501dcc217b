-- open: the open table. One field a command that was asked for and has no outcome:
--   <attempt>|<worker>|<token>|<place>|<begun ms>|<crashes>
-- place: q:<queue>:<entry> (waits in a queue) | held | held:timed | delayed:<what> | retries | outbox:<entry> | sent | wait
local function parse_open(v)
  local attempt, worker, token, place, begun, crashes = string.match(v, '^(%d+)|([^|]*)|([^|]*)|([^|]*)|(%d*)|(%d*)$')
  return { attempt = attempt, worker = worker, token = token, place = place, begun = begun, crashes = crashes }
end

local function read_open(a, seq)
  local v = redis.call('HGET', a.open, seq)
  return v and parse_open(v) or nil
end

local function open_value(attempt, worker, token, place, begun, crashes)
  return attempt .. '|' .. worker .. '|' .. token .. '|' .. place .. '|' .. begun .. '|' .. crashes
end

-- Members of sorted sets name a command; the number is padded, so members of equal score sort by it,
-- and the address comes last, since it alone may hold any printable text.
local function member(what, generation, seq, attempt, token, address)
  return what .. '|' .. generation .. '|' .. string.format('%06d', seq) .. '|' .. attempt .. '|' .. token .. '|' .. address
end

-- Puts a member into delayed or retries; timekeepers that sleep until a later time are told at once.
local function schedule(set, due, m)
  redis.call('ZADD', K .. ':' .. set, digits(due), m)
  if redis.call('ZRANK', K .. ':' .. set, m) == 0 then redis.call('PUBLISH', K .. ':due', digits(due)) end
end

-- The text before the first line break of a command's journal field is for scripts; what follows is not.
local function head_of(command)
  local kind, at, token, queue, due, timeout, flags, target =
    string.match(command, '^(%a+)|(%d*)|([^|]*)|([^|]*)|(%d*)|(%d*)|(%a*)|([^|\n]*)')
  return { kind = kind, at = at, token = token, queue = queue, due = tonumber(due), timeout = tonumber(timeout),
    flags = flags, target = target }
end

local function has(flags, letter) return string.find(flags, letter, 1, true) ~= nil end

local function enqueue(a, seq, attempt, head, crashes)
  local entry = redis.call('XADD', K .. ':q:' .. head.queue, '*', 'a', a.address, 'g', a.generation, 's', seq,
    'n', attempt, 't', head.target, 'c', crashes)
  return 'q:' .. head.queue .. ':' .. entry
end

-- Takes an open command out of the place that it names, so that nothing of it is left anywhere.
local function unplace(a, seq, o)
  local queue, entry = string.match(o.place, '^q:([^:]+):(.+)$')
  if queue then
    redis.call('XACK', K .. ':q:' .. queue, 'workers', entry)
    redis.call('XDEL', K .. ':q:' .. queue, entry)
  elseif string.sub(o.place, 1, 4) == 'held' then
    redis.call('ZREM', K .. ':held', member(o.worker, a.generation, seq, o.attempt, o.token, a.address))
    if o.place == 'held:timed' then
      redis.call('ZREM', K .. ':delayed', member('timeout', a.generation, seq, o.attempt, o.token, a.address))
    end
  elseif o.place == 'retries' then
    redis.call('ZREM', K .. ':retries', member('retry', a.generation, seq, o.attempt, '', a.address))
  else
    local what = string.match(o.place, '^delayed:(%a+)$')
    if what then redis.call('ZREM', K .. ':delayed', member(what, a.generation, seq, o.attempt, '', a.address)) end
  end
end

-- Records an outcome: appended to the mailbox first (the only effect that can fail), then final in the journal.
-- `more`: fields and values that go into the journal with it.
local function record_outcome(a, seq, o, nonce, at, status, payload, more)
  local id = string.format('%d-%s', number_of(a.appended) + 1, nonce)
  redis.call('XADD', a.events, id, 's', seq)
  redis.call('HSET', a.journal, 'r' .. seq, id .. '|' .. at .. '|' .. status .. '|' .. o.attempt .. '|' .. o.begun
    .. '|' .. o.worker .. '\n' .. payload, unpack(more or {}))
  redis.call('HDEL', a.open, seq)
  unplace(a, seq, o)
  a.appended = id
  return id
end
