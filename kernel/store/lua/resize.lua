-- resize: say how many permits a pool has. What the code declares counts when it is new; what a person says counts until then.
-- Why a script: the limit and who gets a permit by it change together.
-- KEYS 1 tag (the pool's)
-- ARGV 1 now ms  2 pool  3 limit ('' = as declared, unless that was declared last; '?' = as declared, unless there is one)
--      4 limit that the code declares
-- Returns the limit, number of permits granted (100: perhaps more can be, call again)
-- Cost: 8 commands and 1 a permit granted.
--@ actor
--@ members
--@ pool
local pool, now = pool_of(ARGV[2]), clock(ARGV[1])
redis.call('HDEL', pool.record, '') -- see complete
redis.call('SADD', K .. ':pools', pool.name)
local known = redis.call('HMGET', pool.record, 'declared', 'limit')
local limit, declared = ARGV[3], known[1] or ARGV[4]
if limit == '' then
  limit, declared = known[1] == ARGV[4] and known[2] or ARGV[4], ARGV[4]
elseif limit == '?' then
  limit = known[2] or ARGV[4]
end
redis.call('HSET', pool.record, 'declared', declared, 'limit', limit)
return { limit, grant_next(pool, now) }
