-- open: the open table. One field a command that was asked for and has no outcome:
--   <attempt>|<worker>|<token>|<place>|<begun ms>|<crashes>
-- place: q:<queue>:<entry> (waits in a queue) | held | delayed:<what> | retries | outbox:<entry> | sent | wait
--   | pool:<pool>:<ask> (waits for a permit of a pool; ask: the entry of the message that asked for it)
-- marks at its end, each a further member of delayed: `:timed` (held: `timeout`; else `waiting`), `:beats` (held: `silent`);
-- after them, in a queue and held, `@<pool>:<ask>`: the permit that it has
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
    string.match(command, '^(%a+)|(%d*)|([^|]*)|([^|]*)|(%d*)|(%d*)|(%w*)|([^|\n]*)')
  return { kind = kind, at = at, token = token, queue = queue, due = tonumber(due), timeout = tonumber(timeout),
    flags = flags, target = target }
end

-- Flags of one letter; from an `s` on, what is said of a step's scheduling, so that more than one letter may mean any.
local function has(flags, letter) return string.find(flags, letter, 1, true) ~= nil end

-- Puts a step into its queue, for one priority above 0 into that band of it. How long it may wait there counts from now
-- (`waits`: it has waited before, and goes on waiting). A step of a pool asks for a permit instead, unless it has one
-- (`permit`, as a place ends in it).
local function enqueue(a, now, seq, attempt, head, crashes, waits, permit)
  local queue, mark = head.queue, ''
  if #head.flags > 1 then
    local priority, limit = string.match(head.flags, 'p(%d)'), string.match(head.flags, 'w(%d+)')
    if limit then
      mark = ':timed'
      if not waits then schedule('delayed', now + tonumber(limit), member('waiting', a.generation, seq, attempt, '', a.address)) end
    end
    if has(head.flags, 'l') then
      local plain, pool = string.match(queue, '^([^@]*)@(.*)$')
      if not permit then
        --@ post
        local ask = post(a, 'acquire', 'pool/' .. pool, { 's', seq, 'n', attempt, 'pr', priority or '0' })
        look_after(a, now)
        return 'pool:' .. pool .. ':' .. ask .. mark
      end
      queue, mark = plain, mark .. permit
    end
    if priority then
      queue = queue .. '!' .. priority
      local new = redis.call('SADD', K .. ':bands', queue) == 1
      if new then redis.call('PUBLISH', K .. ':band', queue) end
    end
  end
  local entry = redis.call('XADD', K .. ':q:' .. queue, '*', 'a', a.address, 'g', a.generation, 's', seq,
    'n', attempt, 't', head.target, 'c', crashes)
  return 'q:' .. queue .. ':' .. entry .. mark
end

-- Takes an open command out of the place that it names, so that nothing of it is left anywhere. Its permit goes back to
-- the pool, unless it `keeps` that for its next place.
local function unplace(a, seq, o, keeps)
  local permit
  local queue, entry, mark = string.match(o.place, '^q:([^:]+):([^:@]+)(.*)$')
  if queue then
    redis.call('XACK', K .. ':q:' .. queue, 'workers', entry)
    redis.call('XDEL', K .. ':q:' .. queue, entry)
    if mark ~= '' then
      if string.sub(mark, 1, 1) == ':' then redis.call('ZREM', K .. ':delayed', member('waiting', a.generation, seq, o.attempt, '', a.address)) end
      permit = string.match(mark, '@(.*)$')
    end
  elseif string.sub(o.place, 1, 4) == 'held' then
    redis.call('ZREM', K .. ':held', member(o.worker, a.generation, seq, o.attempt, o.token, a.address))
    if o.place ~= 'held' then
      redis.call('ZREM', K .. ':delayed', member('timeout', a.generation, seq, o.attempt, o.token, a.address),
        member('silent', a.generation, seq, o.attempt, o.token, a.address))
      permit = string.match(o.place, '@(.*)$')
    end
  elseif o.place == 'retries' then
    redis.call('ZREM', K .. ':retries', member('retry', a.generation, seq, o.attempt, '', a.address))
  elseif string.sub(o.place, 1, 5) == 'pool:' then
    permit, mark = string.match(o.place, '^pool:([^:]+:[^:]+)(.*)$')
    if mark ~= '' then redis.call('ZREM', K .. ':delayed', member('waiting', a.generation, seq, o.attempt, '', a.address)) end
  else
    local what, waits = string.match(o.place, '^delayed:(%a+)(.*)$')
    if what then redis.call('ZREM', K .. ':delayed', member(what, a.generation, seq, o.attempt, '', a.address)) end
    if waits and waits ~= '' then redis.call('ZREM', K .. ':delayed', member('waiting', a.generation, seq, o.attempt, '', a.address)) end
  end
  if permit and not keeps then
    --@ post
    local pool, ask = string.match(permit, '^(.*):(.*)$')
    post(a, 'free', 'pool/' .. pool, { 's', seq, 'n', o.attempt, 't', ask })
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
