-- stop: set an instance aside whose code no longer fits its journal, or whose turn kills workers. It loses nothing.
-- Why a script: decided on one consumed event id, refused if the actor has moved on.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 base  5 reason  6 fingerprint of the code that did not fit ('' = any)
-- Returns STOPPED | STALE_TURN … | NOT_FOUND | GONE | ENDED … | STALE_GENERATION …
-- Cost: 7 commands.
--@ actor
--@ open
--@ outbox
--@ ending
local a, missing = load(ARGV[2])
if not a then return { missing } end
local refusal = unfit(a, ARGV[3])
if refusal then return refuse(refusal, a) end
if not turning(a) or (ARGV[4] ~= '' and ARGV[4] ~= a.consumed) then return refuse('STALE_TURN', a) end
redis.call('HDEL', a.record, '') -- see complete
redis.call('HSET', a.record, 'reason', ARGV[5], 'code', ARGV[6], 'stopped', a.status)
set_status(a, 'stopped')
settle(a)
redis.call('PUBLISH', a.channel, a.consumed)
return { 'STOPPED' }
