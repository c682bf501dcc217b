-- fence: declare a worker dead, if its heartbeat still has the value that was seen unchanged. Before any take-over.
-- KEYS 1 the namespace's workers
-- ARGV 1 worker  2 value seen ('' = it says so itself, at its end)
-- Returns FENCED | ALIVE
local value = redis.call('ZSCORE', KEYS[1], ARGV[1])
if value and ARGV[2] ~= '' and tonumber(value) ~= tonumber(ARGV[2]) then return 'ALIVE' end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', '{' .. KEYS[1] .. '}:about', ARGV[1])
return 'FENCED'
