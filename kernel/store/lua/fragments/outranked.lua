-- outranked: whether others have waited that come before a step. A caller that serves bands names them: `!,default,default!7,`.
local function outranked(eager, head, seen, now)
  local priority = tonumber(string.match(head.flags, 'p(%d)') or '0')
  if priority == 0 and waited(seen, head.queue, now, eager.patience) then return true end
  for band = 9, math.max(priority, 1), -1 do
    local name = head.queue .. '!' .. band
    if string.find(eager.queues, ',' .. name .. ',', 1, true) and waited(seen, name, now, eager.patience) then return true end
  end
  return false
end
