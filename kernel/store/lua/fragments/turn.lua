-- turn: the second half of every decision: commands, cancels, end, trimming, and what is left to do.
local KEEP_EVENTS, TRIM_EVERY = 64, 32

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
    redis.call('HDEL', a.record, 'kept_events')
  end
  local closed = {}
  -- What a script defines costs each call of it, so what is rarely needed is defined where it is.
  if d.cancels > 0 then
    --@ outbox
    --@ close
    closed = close_commands(a, now, d)
  end
  if d.end_status ~= '' then
    --@ outbox
    --@ published
    --@ event
    --@ ending
    --@ anew
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
