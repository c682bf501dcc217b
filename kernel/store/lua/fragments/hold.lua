-- hold: arms what limits an attempt that begins now, and names its place. Needs open. Pasted where it is rarely needed.
local function hold(a, now, seq, attempt, token, head)
  local place = 'held'
  if head.timeout > 0 then
    place = 'held:timed'
    schedule('delayed', now + head.timeout, member('timeout', a.generation, seq, attempt, token, a.address))
  end
  local silence = string.match(head.flags, 'h(%d+)')
  if silence then
    place = place .. ':beats'
    schedule('delayed', now + tonumber(silence), member('silent', a.generation, seq, attempt, token, a.address))
  end
  return place
end
