-- floor: the least that a durable step could cost: four commands on a record and a sorted set.
-- Why a script: it stands for one transition of the engine, which is one script.
-- KEYS 1 tag   ARGV 1 record  2 payload
-- Returns how often it was called for the record.
local record = KEYS[1] .. ':floor:' .. ARGV[1]
local n = redis.call('HINCRBY', record, 'n', 1)
redis.call('HSET', record, 'r' .. n, ARGV[2])
redis.call('ZADD', KEYS[1] .. ':floors', n, ARGV[1])
redis.call('HGET', record, 'n')
return n
