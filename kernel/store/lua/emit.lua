-- emit: go on carrying out a committed decision, 200 commands a call. Whoever holds the ready entry may do it.
-- Why a script: each command reaches exactly one place, and the count of those that did moves with it.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 worker  5 token  6 slots  7 queues served  8 patience ms
-- Returns IDLE consumed granted… | MORE consumed granted… | NOT_FOUND | GONE | ENDED … | STALE_GENERATION …
-- Cost: up to 200 commands and 6.
--@ actor
--@ open
--@ emit
local a, missing = load(ARGV[2])
if not a then return { missing } end
local refusal = unfit(a, ARGV[3])
if refusal or not turning(a) then return refuse(refusal or 'STALE_TURN', a) end
redis.call('HDEL', a.record, '') -- see complete
local now = clock(ARGV[1])
local granted = emit(a, now, 200,
  { slots = tonumber(ARGV[6]), queues = ARGV[7], patience = tonumber(ARGV[8]), worker = ARGV[4], token = ARGV[5] }, nil, 0)
redis.call('HSET', a.record, 'emitted', a.emitted)
local left = settle(a)
redis.call('PUBLISH', a.channel, a.consumed)
return { left, a.consumed, unpack(granted) }
