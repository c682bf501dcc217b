-- ownership of a step by the caller: ARGV 2 address, 3 generation, 4 seq, 5 attempt, 6 worker, 7 token.
-- The open table decides; an obsolete command's held member is dropped, somebody else's is never touched.
local function drop_held(a, word)
  redis.call('ZREM', K .. ':held', member(ARGV[6], ARGV[3], ARGV[4], ARGV[5], ARGV[7], ARGV[2]))
  if a and word ~= 'OBSOLETE' then return refuse(word, a) end
  return { word }
end

local function owned(a)
  local o = read_open(a, ARGV[4])
  if not o or o.attempt ~= ARGV[5] then return nil, 'OBSOLETE' end
  if o.worker ~= ARGV[6] or o.token ~= ARGV[7] then return nil, 'NOT_OWNER' end
  return o
end
