-- event: facts that are no outcomes.
-- Appends a fact that is no outcome.
local function record_event(a, nonce, kind, at, name, payload)
  local n = number_of(a.appended) + 1
  local id = string.format('%d-%s', n, nonce)
  redis.call('XADD', a.events, id, 'e', kind)
  redis.call('HSET', a.journal, 'e' .. n, id .. '|' .. kind .. '|' .. at .. '|' .. name .. '\n' .. payload)
  a.appended = id
  return id
end
