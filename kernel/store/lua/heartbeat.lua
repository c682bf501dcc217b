-- heartbeat: say that a worker is alive. The value only has to change; nobody compares it with a clock.
-- Why a script: a worker that was declared dead must learn it and not come back by beating.
-- KEYS 1 the namespace's workers
-- ARGV 1 worker  2 value
-- Returns OK | FENCED
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'FENCED' end
redis.call('ZREM', KEYS[1], '') -- see register
redis.call('ZADD', KEYS[1], 'XX', ARGV[2], ARGV[1])
return 'OK'
