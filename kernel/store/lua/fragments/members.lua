-- members: reading back what names a command in a sorted set.
local function split_member(m)
  local what, generation, seq, attempt, token, address = string.match(m, '^([^|]*)|([^|]*)|(%d+)|(%d+)|([^|]*)|(.+)$')
  return what, generation, tostring(tonumber(seq)), attempt, token, address
end
