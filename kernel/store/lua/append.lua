-- append: tell an actor a fact (external event, update, cancel request).
-- Why a script: the number that the fact gets, its payload and the wake-up belong together.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation ('' = the current one)  4 nonce  5 kind (event | event_failed | update | cancel_requested)  6 name
--      7 payload  8 dedupe id ('' = none: a repeated call would tell it twice)  9 what a large payload refers to ('' = it is not)
-- Returns APPENDED event id | DUPLICATE event id ('' = asked to cancel it, which it was before) | NOT_FOUND | GONE | ENDED … | STALE_GENERATION …
-- Cost: 5 commands, 1 more of a cancel request.
--@ actor
--@ open
--@ event
--@ outbox
--@ ending
local a, missing = load(ARGV[2])
if not a then return { missing } end
-- First, since a repeated call must hear what became of the first one, also when the actor has ended since.
if ARGV[8] ~= '' then
  local before = redis.call('HGET', a.journal, 'd' .. ARGV[8])
  if before then return { 'DUPLICATE', before } end
end
if ended(a) then return refuse('ENDED', a) end
if ARGV[3] ~= '' and ARGV[3] ~= a.generation then return refuse('STALE_GENERATION', a) end
local now, cancels = clock(ARGV[1]), ARGV[5] == 'cancel_requested'
if cancels then
  -- A second request would break off the clean-up that the first one began.
  local asked = redis.call('HMGET', a.record, 'canceling', 'stopped')
  if a.status == 'canceling' or asked[1] or asked[2] == 'canceling' then return { 'DUPLICATE', '' } end
end
if cancels then redis.call('HDEL', a.record, '') end -- taken also at maxmemory, see complete; other facts are not
if ARGV[9] ~= '' then redis.call('HSET', part(a, 'large'), string.sub(ARGV[7], 3), ARGV[9]) end
local id = record_event(a, ARGV[4], ARGV[5], digits(now), ARGV[6], ARGV[7])
if ARGV[8] ~= '' then redis.call('HSET', a.journal, 'd' .. ARGV[8], id) end
redis.call('HSET', a.record, 'appended', id)
if cancels and a.status == 'running' then
  set_status(a, 'canceling')
  redis.call('PUBLISH', a.channel, id)
elseif cancels then
  redis.call('HSET', a.record, 'canceling', '1') -- when it starts or is resumed
end
wake(a)
return { 'APPENDED', id }
