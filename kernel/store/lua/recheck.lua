-- recheck: who has had a permit, or waited for one, for long: the caller asks their actors whether they still want it. Heals a
-- pool whose actors lost acknowledged writes in a failover, and the other way round.
-- Why a script: what it lists is marked as seen in the same moment, so the next call lists others.
-- KEYS 1 tag (the pool's)
-- ARGV 1 now ms  2 pool  3 age ms of a permit that was not looked at  4 limit (<= 100) of each kind
-- Returns number of members that hold a permit, those, then members that wait (they come round and round, by their order)
-- Cost: 9 commands and 1 a permit granted.
--@ actor
--@ members
--@ pool
local pool, now, limit = pool_of(ARGV[2]), clock(ARGV[1]), tonumber(ARGV[4])
redis.call('HDEL', pool.record, '') -- see complete
grant_next(pool, now) -- there should be nobody who could have one
local held = redis.call('ZRANGEBYSCORE', pool.held, '-inf', digits(now - tonumber(ARGV[3])), 'LIMIT', 0, limit)
local seen = {}
for i, m in ipairs(held) do seen[2 * i - 1], seen[2 * i] = digits(now), m end
if #held > 0 then redis.call('ZADD', pool.held, 'XX', unpack(seen)) end
local from = tonumber(redis.call('HGET', pool.record, 'looked') or '0')
local waiting = redis.call('ZRANGE', pool.waiting, from, from + limit - 1)
if #waiting > 0 or from > 0 then
  redis.call('HSET', pool.record, 'looked', #waiting < limit and 0 or from + limit)
end
local reply = { #held }
for _, m in ipairs(held) do reply[#reply + 1] = m end
for _, m in ipairs(waiting) do reply[#reply + 1] = m end
return reply
