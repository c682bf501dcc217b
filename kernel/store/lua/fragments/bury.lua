-- bury: delete an ended actor and leave a tombstone, which refuses the start that it stands for, for an hour.
local TOMBSTONE_MS, CHILDREN_PAGE = 3600000, 200

local function bury(a)
  local v = redis.call('HMGET', a.record, 'message', 'tags')
  local message = v[1]
  redis.call('UNLINK', a.journal, a.events, a.open, part(a, 'staged'), part(a, 'values'), part(a, 'large'), a.record)
  redis.call('ZREM', K .. ':index:' .. a.name .. ':' .. a.status, a.address)
  for tag in string.gmatch(v[2] or '', '[^\n]+') do redis.call('ZREM', K .. ':index:tag:' .. tag, a.address) end
  redis.call('ZREM', K .. ':expiry', a.address)
  redis.call('HSET', a.record, 'status', 'gone')
  if message then redis.call('HSET', a.record, 'message', message) end
  redis.call('PEXPIRE', a.record, TOMBSTONE_MS)
  redis.call('PUBLISH', a.channel, 'gone')
end

-- Goes on deleting a doomed actor, once nothing is open and every message has left: what is told to go must have been
-- started, and told to end. Its children first, 200 commands a call (a `sweep` member in delayed goes on with the rest);
-- then what was called on its completion; at last itself. `doomed` is the next command to look at.
local function leave(a, now)
  local function waits()
    return tonumber(redis.call('HGET', a.record, 'undelivered') or '0') > 0 or redis.call('EXISTS', a.open) == 1
  end
  local v = redis.call('HMGET', a.record, 'doomed', 'children')
  local next, last = tonumber(v[1]), math.max(a.commands, a.kept) -- what a restart kept may not have been asked for again
  if next == 1 and waits() then return false end
  if v[2] and next <= last then
    local names = {}
    for seq = next, math.min(last, next + CHILDREN_PAGE - 1) do
      names[#names + 1] = (seq <= a.commands and 'c' or 'k') .. seq
    end
    for i, command in ipairs(redis.call('HMGET', a.journal, unpack(names))) do
      if command and string.sub(command, 1, 6) == 'child|' then dismiss(a, 'cleanup', tostring(next + i - 1), command) end
    end
    next = next + #names
    redis.call('HSET', a.record, 'doomed', digits(next))
    if next <= last then
      schedule('delayed', now, own_member(a, 'sweep'))
      return false
    end
  end
  if waits() then return false end
  local completions = redis.call('HGET', a.record, 'completions')
  if completions then
    for generation in string.gmatch(completions, '%S+') do post(a, 'cleanup', '', { 'pg', generation }) end
    redis.call('HDEL', a.record, 'completions')
    return false
  end
  bury(a)
  return true
end
