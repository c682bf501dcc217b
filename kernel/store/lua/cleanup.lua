-- cleanup: delete everything of an ended actor. Children first: messages to them must leave before it does.
-- Why a script: an actor is there whole or not at all.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 1: only if its retention is over  4 message id of the start ('' = whoever started it)
--      5 1: one that has not ended is kept no longer than to its end
-- Returns DELETED | SCHEDULED (when its children are told and its last messages are delivered, or it has ended) | RUNNING …
--      | NOT_OWNER … | NOT_FOUND | GONE
-- Cost: 12 commands and 2 a child, of which at most 200 a call.
--@ actor
--@ open
--@ outbox
--@ bury
local a, missing = load(ARGV[2])
if not a then return { missing } end
if ARGV[4] ~= '' and redis.call('HGET', a.record, 'message') ~= ARGV[4] then return refuse('NOT_OWNER', a) end
if not ended(a) then
  if ARGV[5] ~= '1' then return refuse('RUNNING', a) end
  redis.call('HSET', a.record, 'retention', '0')
  return { 'SCHEDULED' }
end
local now = clock(ARGV[1])
if ARGV[3] == '1' then
  local due = redis.call('ZSCORE', K .. ':expiry', a.address)
  if not due or tonumber(due) > now then return refuse('RUNNING', a) end
end
redis.call('ZREM', K .. ':expiry', a.address) -- also the first write: it passes at maxmemory, which this relieves
redis.call('HSETNX', a.record, 'doomed', '1')
return { leave(a, now) and 'DELETED' or 'SCHEDULED' }
