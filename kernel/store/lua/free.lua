-- free: permits come back to their pool, or who asked waits no more; the next ones get theirs at once.
-- Why a script: a permit that is free is given to somebody in the same moment, so no place stays empty while others wait.
-- KEYS 1 tag (the pool's)
-- ARGV 1 now ms  2 pool, then members (<= 100)
-- Returns number of permits granted
-- Cost: 6 commands and 1 a permit granted.
--@ actor
--@ members
--@ pool
local pool, now = pool_of(ARGV[2]), clock(ARGV[1])
redis.call('ZREM', pool.held, unpack(ARGV, 3))
redis.call('ZREM', pool.waiting, unpack(ARGV, 3))
return grant_next(pool, now)
