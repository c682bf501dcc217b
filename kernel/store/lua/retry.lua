-- retry: record a failed attempt that the caller holds and set its next one.
-- Why a script: the attempt's number, its error and the place of the next one change together.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 seq  5 attempt  6 worker  7 token  8 error  9 delay ms (0 = queue at once)
-- Returns RETRIED | OBSOLETE | NOT_OWNER | NOT_FOUND | GONE | ENDED … | STALE_GENERATION …
-- Cost: 9 commands.
--@ actor
--@ open
--@ settle_obsolete
local a, missing = load(ARGV[2])
if not a then return drop_held(nil, missing) end
local refusal = unfit(a, ARGV[3])
if refusal then return drop_held(a, refusal) end
local o, word = owned(a)
if not o then return word == 'OBSOLETE' and drop_held(a, word) or { word } end
redis.call('HDEL', a.record, '') -- see complete
local now, seq, delay = clock(ARGV[1]), ARGV[4], tonumber(ARGV[9])
redis.call('HSET', a.journal, 'a' .. seq .. '.' .. o.attempt, digits(now) .. '|' .. o.begun .. '|' .. o.worker .. '\n' .. ARGV[8])
unplace(a, seq, o)
local attempt, place = tostring(tonumber(o.attempt) + 1), 'retries'
if delay > 0 then
  schedule('retries', now + delay, member('retry', a.generation, seq, attempt, '', a.address))
else
  place = enqueue(a, now, seq, attempt, head_of(redis.call('HGET', a.journal, 'c' .. seq)), o.crashes)
end
redis.call('HSET', a.open, seq, open_value(attempt, '', '', place, '', o.crashes))
redis.call('PUBLISH', a.channel, 'r')
return { 'RETRIED' }
