-- forget: delete a dead worker's consumer, but only if nothing is pending on it (its entries would be lost to the group).
-- KEYS 1 tag
-- ARGV 1 stream  2 group  3 consumer
-- Returns 1 if it is gone, else 0
-- Cost: 2 commands.
local pending = redis.pcall('XPENDING', ARGV[1], ARGV[2], '-', '+', 1, ARGV[3])
if pending.err then return 1 end
if #pending > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', ARGV[1], ARGV[2], ARGV[3])
return 1
