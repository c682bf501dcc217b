-- deposit: keep large payloads apart from the journal, before the script that refers to them.
-- Why a script: what was deposited for an actor that is gone would stay for ever, and what was for another generation may
-- have been dropped when it began anew.
-- KEYS 1 tag
-- ARGV 1 address  2 generation  3… pairs of hash and payload
-- Returns DEPOSITED | NOT_FOUND | GONE | ENDED … | STALE_GENERATION …
-- Cost: 3 commands.
--@ actor
local a, missing = load(ARGV[1])
if not a then return { missing } end
local refusal = unfit(a, ARGV[2])
if refusal then return refuse(refusal, a) end
redis.call('HDEL', a.record, '') -- what refers to it is an outcome or a decision; see complete
redis.call('HSET', part(a, 'large'), unpack(ARGV, 3))
return { 'DEPOSITED' }
