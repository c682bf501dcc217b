-- purge: delete what is left of an actor that has no record, or only a tombstone; a tombstone gets its end if it has none.
-- For `headrace doctor`.
-- Why a script: a start under the same id may come at any moment, and then everything is its own.
-- KEYS 1 tag
-- ARGV 1 address
-- Returns number of keys deleted, or given an end | -1 (there is a record, though it may be damaged)
-- Cost: 4 commands.
--@ actor
local TOMBSTONE_MS = 3600000
local a = place_of(ARGV[1])
local head = redis.call('HMGET', a.record, 'status', 'generation')
local status = head[1]
if status and status ~= 'gone' or head[2] then return -1 end
local purged = redis.call('UNLINK', a.journal, a.open, a.events, part(a, 'staged'), part(a, 'values'), part(a, 'large'))
if not status then return purged + redis.call('UNLINK', a.record) end
if redis.call('PTTL', a.record) < 0 then purged = purged + redis.call('PEXPIRE', a.record, TOMBSTONE_MS) end
return purged
