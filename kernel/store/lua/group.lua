-- group: make a stream and a group of consumers that reads it from its first entry on, where the command alone is refused.
-- Why a script: at maxmemory XGROUP CREATE is refused even if there is nothing to make, and who is to complete what runs
-- must be able to read.
-- KEYS 1 stream
-- ARGV 1 group
-- Returns MADE | EXISTS
-- Cost: 2 commands.
redis.call('XDEL', KEYS[1], '0-0') -- deletes nothing; see complete
local reply = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if not reply.err then return { 'MADE' } end
if string.find(reply.err, 'BUSYGROUP', 1, true) then return { 'EXISTS' } end
return redis.error_reply(reply.err)
