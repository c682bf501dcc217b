-- found: make a partition of a namespace, or read what was recorded when it was made.
-- Why a script: of two first comers one decides.
-- KEYS 1 tag
-- ARGV 1 number of partitions  2 format version  3 hash seed
-- Returns partitions, format, hash seed as recorded
-- Cost: 4 commands.
local meta = KEYS[1] .. ':meta'
local known = redis.call('HMGET', meta, 'partitions', 'format', 'seed')
if known[1] and known[2] and known[3] then return known end -- also at maxmemory, where a write would be refused
redis.call('HSETNX', meta, 'partitions', ARGV[1])
redis.call('HSETNX', meta, 'format', ARGV[2])
redis.call('HSETNX', meta, 'seed', ARGV[3])
return redis.call('HMGET', meta, 'partitions', 'format', 'seed')
