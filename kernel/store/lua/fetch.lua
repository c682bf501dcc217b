-- fetch: what a cached actor has not seen yet, or the word that it must read the journal.
-- Why a script: record, mailbox and payloads must be of one moment, and the mailbox may have been trimmed or deleted.
-- KEYS 1 tag
-- ARGV 1 address  2 generation of the cache ('' = nothing cached)  3 event id of the cache (0-0 = nothing)  4 limit of events (<= 100)
-- Returns RECORD, status, generation, consumed, appended, commands, emitted, ready, name, version, python, parent, kept, first
--      (number of the journal's first event), then GAP or the events, a flat pair each: mailbox id, `<seq>|` and journal field's value
-- Read only. Cost: 3 commands and one an event.
--@ actor
local a, missing = load(ARGV[1])
if not a then return { missing } end
local more = redis.call('HMGET', a.record, 'version', 'python', 'parent', 'first')
local first = tonumber(more[4] or '1')
local reply = { 'RECORD', a.status, a.generation, a.consumed, a.appended, tostring(a.commands), tostring(a.emitted), a.ready,
  a.name, more[1] or '', more[2] or '', more[3] or '', tostring(a.kept), tostring(first) }
local function gap()
  reply[#reply + 1] = 'GAP'
  return reply
end
if ARGV[2] ~= '' and ARGV[2] ~= a.generation then return gap() end
if ARGV[3] == a.appended then return reply end
-- The cached event is in the mailbox, or it is the last consumed one: otherwise it may be of a history that was lost.
local nothing = ARGV[3] == '0-0'
local entries = redis.call('XRANGE', a.events, nothing and '-' or ARGV[3], '+', 'COUNT', ARGV[4] + 1)
local from = 1
if entries[1] and entries[1][1] == ARGV[3] then
  from = 2
elseif not nothing and ARGV[3] ~= a.consumed then
  return gap()
end
local expected = nothing and first or number_of(ARGV[3]) + 1
if not entries[from] or number_of(entries[from][1]) ~= expected then return gap() end
for i = from, math.min(#entries, from + ARGV[4] - 1) do
  local entry = entries[i]
  local seq = entry[2][1] == 's' and entry[2][2] or ''
  reply[#reply + 1] = entry[1]
  reply[#reply + 1] = seq .. '|' .. (redis.call('HGET', a.journal, seq ~= '' and 'r' .. seq or 'e' .. number_of(entry[1])) or '')
end
return reply
