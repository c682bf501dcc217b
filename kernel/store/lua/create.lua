-- create: begin an actor's first generation.
-- Why a script: record, journal, mailbox, indexes and wake-up appear together or not at all.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 nonce  4 name  5 arguments  6 message id ('' = none)  7 start at ms (0 = at once)
--      8 deadline ms (0 = none)  9 retention ms ('' = for ever)  10 timeout ms (0 = none), then pairs of further record
--      fields (parent, version, on_complete, tags …; tags: one `key|value` a line; priority: also the started
--      event's name; `large`: what the arguments refer to). If the actor exists, who is named as `parent` becomes a waiter,
--      or gets the result again if it has ended.
-- Returns CREATED generation (also when this very call is repeated) | EXISTS generation name | GONE | LATE
-- Cost: 10 commands, one a tag.
--@ actor
--@ open
--@ outbox
--@ ending
local now, address, nonce, name, message = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[6]
local at, deadline, timeout = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[10])
if deadline > 0 and now > deadline then return { 'LATE' } end
local a = place_of(address)
local known = redis.call('HMGET', a.record, 'status', 'message', 'generation', 'parent', 'refused', 'name')
local id = '1-' .. nonce

local function attend(waiter)
  local e = load(address)
  if ended(e) then
    local result = redis.call('HGET', a.journal, 'result')
    local status, payload = string.match(result, '^(%a+)|%d+\n(.*)$')
    tell(e, waiter, status, payload)
  elseif known[4] ~= waiter then
    local waiters = redis.call('HGET', a.record, 'waiters') or ''
    if not string.find('\n' .. waiters .. '\n', '\n' .. waiter .. '\n', 1, true) then
      redis.call('HSET', a.record, 'waiters', waiters == '' and waiter or waiters .. '\n' .. waiter)
    end
  end
end

if known[1] and known[1] ~= 'gone' then
  for i = 11, #ARGV, 2 do if ARGV[i] == 'parent' then attend(ARGV[i + 1]) end end
  if known[3] == id then return { 'CREATED', id } end
  return { 'EXISTS', known[3], known[6] }
end
if known[1] == 'gone' and message ~= ''
  and (known[2] == message or string.find(known[5] or '', '\n' .. message .. '\n', 1, true)) then return { 'GONE' } end
local extra, priority = {}, ''
for i = 11, #ARGV, 2 do
  if ARGV[i] == 'large' then
    redis.call('HSET', part(a, 'large'), string.sub(ARGV[5], 3), ARGV[i + 1])
  else
    if ARGV[i] == 'priority' then priority = ARGV[i + 1] end
    extra[#extra + 1] = ARGV[i]
    extra[#extra + 1] = ARGV[i + 1]
  end
end
-- The first write, if that was none: refused at maxmemory, and then nothing has happened.
redis.call('HSET', a.journal, 'e1',
  id .. '|started|' .. digits(math.max(at, now)) .. '|' .. priority .. '\n' .. ARGV[5])
if known[1] then redis.call('DEL', a.record) end

local scheduled = at > now
local status = scheduled and 'scheduled' or 'running'
local fields = { 'status', status, 'name', name, 'generation', id, 'appended', id, 'consumed', '0-0',
  'commands', '0', 'emitted', '0', 'created', digits(now) }
for i = 1, #extra do fields[#fields + 1] = extra[i] end
if message ~= '' then
  fields[#fields + 1] = 'message'
  fields[#fields + 1] = message
end
if ARGV[9] ~= '' then
  fields[#fields + 1] = 'retention'
  fields[#fields + 1] = ARGV[9]
end
a.status, a.generation, a.appended, a.consumed, a.ready = status, id, id, '0-0', ''
a.commands, a.emitted, a.name, a.created = 0, 0, name, digits(now)
if not scheduled then
  redis.call('XADD', a.events, id, 'e', 'started')
  a.ready = redis.call('XADD', K .. ':ready', '*', 'a', address)
  fields[#fields + 1] = 'ready'
  fields[#fields + 1] = a.ready
end
if timeout > 0 then
  fields[#fields + 1] = 'timeout'
  fields[#fields + 1] = digits(timeout)
  schedule('delayed', math.max(at, now) + timeout, member('deadline', id, '0', '0', '', address))
end
redis.call('HSET', a.record, unpack(fields))
if string.sub(address, 1, 3) == 'wf/' then redis.call('SADD', K .. ':names', name) end -- lists show workflows
redis.call('ZADD', index_key(a, status), a.created, address)
for i = 11, #ARGV, 2 do
  if ARGV[i] == 'tags' then
    for tag in string.gmatch(ARGV[i + 1], '[^\n]+') do redis.call('ZADD', K .. ':index:tag:' .. tag, a.created, address) end
  end
end
if scheduled then schedule('delayed', at, member('start', id, '0', '0', '', address)) end
return { 'CREATED', id }
