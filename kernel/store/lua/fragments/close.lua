-- close: commands that a decision closes, each once and for all. Needs open, outbox.
-- Closes each command that the decision no longer wants. An outcome that is already recorded wins.
-- `=<seq>:<n>` is a wait that event n has answered: it is closed, not canceled.
-- x<seq> keeps the number of the last event fed by then (a restart from before it opens the command again), ms, and which.
local function close_commands(a, now, d)
  local closed, n = {}, number_of(d.reached)
  for i = d.cancels_at, d.cancels_at + d.cancels - 1 do
    local answered, seq, by = string.match(d.list[i], '^(=?)(%d+):?(%d*)$')
    local o = read_open(a, seq)
    if o then
      revoke(a, seq, o)
      redis.call('HDEL', a.open, seq)
      if is_child(o) then dismiss(a, 'cancel', seq, redis.call('HGET', a.journal, 'c' .. seq)) end
    end
    if o or (tonumber(seq) > a.emitted
      and (tonumber(seq) > a.kept or redis.call('HEXISTS', a.journal, 'r' .. seq) == 0)) then
      closed[seq] = true
      redis.call('HSET', a.journal, 'x' .. seq, n .. '|' .. digits(now) .. '|' .. (answered == '' and 'canceled' or 'answered|' .. by))
    end
  end
  return closed
end
