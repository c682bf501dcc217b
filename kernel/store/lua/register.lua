-- register: a worker's new incarnation appears among the living, before it reads anything.
-- KEYS 1 the namespace's workers
-- ARGV 1 worker  2 description
-- Returns OK
redis.call('ZREM', KEYS[1], '') -- at maxmemory only a script's first write can be refused: who lives must be seen to live
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('HSET', '{' .. KEYS[1] .. '}:about', ARGV[1], ARGV[2])
return 'OK'
