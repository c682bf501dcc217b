-- risk: a turn is begun whose ready entry was in the hands of a worker that died; count it until it has ended.
-- Why a script: only the actor that the entry still names is counted, and a call that is repeated counts once.
-- KEYS 1 tag
-- ARGV 1 address  2 ready entry  3 token of this turn
-- Returns how many such turns have begun and not ended, this one included (0: the entry names nothing any more)
-- Cost: 4 commands.
--@ actor
local a = load(ARGV[1])
if not a or a.ready ~= ARGV[2] then return 0 end
local count, token = string.match(redis.call('HGET', a.record, 'risks') or '0|', '^(%d+)|(.*)$')
if token == ARGV[3] then return tonumber(count) end
count = tonumber(count) + 1
redis.call('HDEL', a.record, '') -- see complete
redis.call('HSET', a.record, 'risks', count .. '|' .. ARGV[3])
return count
