-- answer: take a message out of the gateway's stream, for good, or to put it at its end again for other workers.
-- Why a script: XACK leaves the entry and XDEL its pending record; and a message that is passed on must be there once.
-- KEYS 1 the stream
-- ARGV 1 group  2 entry, then fields and values of the entry that takes its place (none: it is done with)
-- Returns 1 if it was there, else 0 (somebody else answered)
-- Cost: 3 commands.
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
local deleted = redis.call('XDEL', KEYS[1], ARGV[2])
if deleted == 1 and #ARGV > 2 then redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3)) end
return deleted
