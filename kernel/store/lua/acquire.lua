-- acquire: steps ask for a permit of a pool. Each gets it at once if there is room, else it waits: the higher priority first.
-- Why a script: how many permits are out, and who is next, must be of one moment.
-- KEYS 1 tag (the pool's)
-- ARGV 1 now ms  2 pool, then pairs of member (permit|generation|seq|attempt|ask|address) and priority 0-9; <= 100 pairs
-- Returns number of permits granted
-- Repeated: who has one is told again, who waits keeps its place. What was given back before (the messages may cross) gets one
-- and gives it back again, since its actor does not want it.
-- Cost: 10 commands for one.
--@ actor
--@ members
--@ pool
local BAND = 2 ^ 48 -- more than will ever ask
local pool, now = pool_of(ARGV[2]), clock(ARGV[1])
redis.call('HDEL', pool.record, '') -- see complete
redis.call('SADD', K .. ':pools', pool.name)
for i = 3, #ARGV, 2 do
  local m = ARGV[i]
  if redis.call('ZSCORE', pool.held, m) then
    tell_granted(pool, m)
  elseif not redis.call('ZSCORE', pool.waiting, m) then
    local n = redis.call('HINCRBY', pool.record, 'asked', 1)
    redis.call('ZADD', pool.waiting, digits((9 - tonumber(ARGV[i + 1])) * BAND + n), m)
  end
end
return grant_next(pool, now)
