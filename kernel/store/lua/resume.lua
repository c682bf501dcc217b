-- resume: let a stopped instance try again, with other code or because a person says so.
-- KEYS 1 tag
-- ARGV 1 address  2 fingerprint of the code at hand ('' = a person asked)
-- Returns RESUMED | SAME_CODE | NOT_STOPPED … | NOT_FOUND | GONE
-- Cost: 8 commands.
--@ actor
--@ open
--@ outbox
--@ ending
local a, missing = load(ARGV[1])
if not a then return { missing } end
if a.status ~= 'stopped' then return refuse('NOT_STOPPED', a) end
local v = redis.call('HMGET', a.record, 'code', 'stopped', 'canceling')
if ARGV[2] ~= '' and v[1] == ARGV[2] then return { 'SAME_CODE' } end
set_status(a, v[3] and 'canceling' or v[2] or 'running')
redis.call('HDEL', a.record, 'reason', 'code', 'stopped', 'canceling')
settle(a)
redis.call('PUBLISH', a.channel, a.consumed)
return { 'RESUMED' }
