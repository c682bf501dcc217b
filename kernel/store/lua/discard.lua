-- discard: delete an actor of which what is stored makes no sense, and leave a tombstone. For `headrace doctor --discard`.
-- Why a script: in one moment its keys go, the tombstone stands, and whoever waits for it is told. It reads no field that
-- it does not check, and takes no key to be of the type that it should be.
-- KEYS 1 tag
-- ARGV 1 address  2 generation as the caller has seen it ('' = none could be read)  3 payload of an unknown outcome
--      4 0: tell children, the keys stay | 1: delete | 2: delete, and what was to be called on its end is called
--      then, if 4 is 0: fields of the journal (c<seq>, k<seq>) that started children (<= 50)
-- Returns DISCARDED number of receivers told, then the parts deleted (`record`, `journal` …) | TOLD number of receivers told
--      | NOT_FOUND | STALE_GENERATION
-- Cost: 14 commands and one a receiver; 4 a child.
--@ actor
--@ open
--@ outbox
local TOMBSTONE_MS, WAITERS_MAX = 3600000, 100
local PARTS = { 'journal', 'open', 'staged', 'events', 'values', 'large' }
local a = place_of(ARGV[1])
local told = 0

local function field(key, name)
  local v = redis.pcall('HGET', key, name)
  return type(v) == 'string' and v or ''
end

-- Not `post`, which counts in the record. What nobody counts is delivered like the rest.
local generation = field(a.record, 'generation')
if generation == '' and field(a.record, 'status') == 'gone' then return { 'NOT_FOUND' } end -- also if it is called again
if generation ~= ARGV[2] then return { 'STALE_GENERATION' } end
if not string.find(generation, '^%d+%-%d+$') then generation = '0-0' end
local function send(what, to, fields)
  redis.call('XADD', K .. ':outbox', '*', 'w', what, 'to', to, 'from', a.address, 'g', generation, unpack(fields))
  told = told + 1
end

if ARGV[4] == '0' then
  for i = 5, #ARGV do
    local command, seq = field(a.journal, ARGV[i]), string.sub(ARGV[i], 2)
    local head = head_of(command)
    -- The first write, which passes at maxmemory; and a call that is repeated tells nobody twice.
    if command ~= '' then redis.call('HDEL', a.journal, ARGV[i]) end
    if head.kind == 'child' and not has(head.flags, 'd') then
      local about = { 's', seq, 't', head.token, 'p', without_arguments(command) }
      if field(a.journal, 'r' .. seq) == '' then send('cancel', '', about) end
      send('cleanup', '', about)
    end
  end
  return { 'TOLD', told }
end

local status = field(a.record, 'status')
local over = status == 'completed' or status == 'failed' or status == 'canceled' or status == 'gone'
  or field(a.journal, 'result') ~= ''
local kept = {}
for _, name in ipairs({ 'message', 'refused', ARGV[4] == '2' and not over and 'on_complete' or 'message' }) do
  local value = field(a.record, name)
  if value ~= '' then
    kept[#kept + 1] = name
    kept[#kept + 1] = value
  end
end
local parent, waiters = field(a.record, 'parent'), field(a.record, 'waiters')
local deleted = {}
if redis.call('UNLINK', a.record) == 1 then deleted[1] = 'record' end
for _, name in ipairs(PARTS) do
  if redis.call('UNLINK', part(a, name)) == 1 then deleted[#deleted + 1] = name end
end
if #deleted == 0 then return { 'NOT_FOUND' } end
redis.call('HSET', a.record, 'status', 'gone', unpack(kept))
redis.call('PEXPIRE', a.record, TOMBSTONE_MS)
if #deleted == 1 and status == 'gone' then return { 'NOT_FOUND' } end

if not over then
  for who in string.gmatch(parent .. '\n' .. waiters, '[^\n]+') do
    local to, of, seq, token = string.match(who, '^([^|/]+/[^|]+)|(%d+%-%d+)|(%d+)|([^|]*)$')
    if to and told < WAITERS_MAX then send('outcome', to, { 'pg', of, 's', seq, 't', token, 'st', 'failed', 'p', ARGV[3] }) end
  end
  if ARGV[4] == '2' then send('on_complete', '', { 'pg', generation, 'st', 'failed', 'p', ARGV[3] }) end
end
redis.call('PUBLISH', K .. ':ended:' .. a.address, 'gone')
redis.call('PUBLISH', a.channel, 'gone')
return { 'DISCARDED', told, unpack(deleted) }
