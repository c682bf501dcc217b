-- turn: the second half of every decision: commands, cancels, end, trimming, and what is left to do.
local KEEP_EVENTS, TRIM_EVERY = 64, 32

-- Closes each command that the decision no longer wants. An outcome that is already recorded wins.
-- A number that begins with `=` is a wait that an event has answered: it is closed, not canceled.
-- x<seq> keeps the number of the last event fed by then (a restart from before it opens the command again), ms, and which.
local function close_commands(a, now, d)
  local closed, n = {}, number_of(d.reached)
  for i = d.cancels_at, d.cancels_at + d.cancels - 1 do
    local answered, seq = string.match(d.list[i], '^(=?)(%d+)$')
    local o = read_open(a, seq)
    if o then
      revoke(a, seq, o)
      redis.call('HDEL', a.open, seq)
      if is_child(o) then dismiss(a, 'cancel', seq, redis.call('HGET', a.journal, 'c' .. seq)) end
    end
    if o or (tonumber(seq) > a.emitted
      and (tonumber(seq) > a.kept or redis.call('HEXISTS', a.journal, 'r' .. seq) == 0)) then
      closed[seq] = true
      redis.call('HSET', a.journal, 'x' .. seq, n .. '|' .. digits(now) .. '|' .. (answered == '' and 'canceled' or 'answered'))
    end
  end
  return closed
end

local function save_turn(a)
  redis.call('HSET', a.record, 'appended', a.appended, 'consumed', a.consumed, 'commands', a.commands, 'emitted', a.emitted)
end

local function trim(a, park, before)
  local n = number_of(a.consumed)
  if park and a.appended == a.consumed then
    redis.call('DEL', a.events)
  elseif n > KEEP_EVENTS and math.floor(n / TRIM_EVERY) > math.floor(before / TRIM_EVERY) then
    redis.call('XTRIM', a.events, 'MINID', digits(n - KEEP_EVENTS + 1))
  end
end

-- What follows the acceptance of a decision: `added` commands are already in the journal.
local function take_turn(a, now, d)
  local before = number_of(a.consumed)
  a.consumed = d.reached
  a.commands = a.commands + d.added
  if a.rewound then -- a restart's first turn: what was kept and has no outcome is placed again
    a.emitted = 0
    redis.call('HSET', a.record, 'kept', a.kept)
  end
  local closed = d.cancels > 0 and close_commands(a, now, d) or {}
  if d.end_status ~= '' then
    publish_values(a, d.given, d.given_from)
    if d.end_status == 'continued' then
      begin_anew(a, now, d.end_payload, d.list, d.cancels_at + d.cancels)
      return settle(a), {}
    end
    save_turn(a)
    finish(a, now, d.end_status, d.end_payload)
    return 'IDLE', {}
  end
  local granted = emit(a, now, 200, d.eager, d.given, d.given_from, closed)
  save_turn(a)
  trim(a, d.park, before)
  return settle(a), granted
end
