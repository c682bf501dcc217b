-- page: the next addresses of several indexes.
-- Why a script: all are read in one moment, so an actor that moves from one to another is seen in one of them.
-- KEYS 1 tag
-- ARGV 1 1: the newest first  2, 3 bounds of the creation time, ms, the lower one first, as ZRANGEBYSCORE takes them
--      4 how many of each index (<= 10,000), then the indexes (<= 196), as they stand in their keys after `index:`
-- Returns for each index how many were found there, then address, creation ms, address …
-- Read only. Cost: one command an index.
local reply = {}
for i = 5, #ARGV do
  local key = KEYS[1] .. ':index:' .. ARGV[i]
  local found
  if ARGV[1] == '1' then
    found = redis.call('ZREVRANGEBYSCORE', key, ARGV[3], ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
  else
    found = redis.call('ZRANGEBYSCORE', key, ARGV[2], ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
  end
  reply[#reply + 1] = #found / 2
  for j = 1, #found do reply[#reply + 1] = found[j] end
end
return reply
