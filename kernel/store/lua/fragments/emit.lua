-- emit: carries out commands emitted+1 … of the journal, at most `limit` (<= 200), each into the one place its open field names.
-- An eager command is begun for the caller at once, unless others have waited in its queue.
local function waited(seen, queue, now, patience)
  if seen[queue] == nil then
    local oldest = redis.call('XRANGE', K .. ':q:' .. queue, '-', '+', 'COUNT', 1)[1]
    seen[queue] = oldest ~= nil and now - tonumber(string.match(oldest[1], '^(%d+)')) > patience
  end
  return seen[queue]
end

-- `i`: run by whoever decides on it, without queue and slot.
local function may_hold(eager, head, granted, seen, now)
  if #head.flags > 1 and has(head.flags, 'i') then return eager.worker ~= '' end
  if eager.used >= eager.slots or not string.find(eager.queues, ',' .. head.queue .. ',', 1, true) then return false end
  if string.byte(eager.queues) == 33 or #head.flags > 1 then -- 33 is `!`
    --@ outranked
    return not outranked(eager, head, seen, now)
  end
  return not waited(seen, head.queue, now, eager.patience)
end

-- Gives a child's command a token: that under which the child was started before a restart, if none is given. Returns the command.
local function take_up(a, name, head, command, token)
  token = token or redis.call('HGET', a.journal, 't' .. name)
  if not token then return command end
  local kind_and_at, rest = string.match(command, '^(%a+|%d*)|[^|]*|(.*)$')
  head.token, command = token, kind_and_at .. '|' .. token .. '|' .. rest
  redis.call('HSET', a.journal, 'c' .. name, command)
  return command
end

-- Whether nothing is to be done for a command: asked for and closed in one turn; or, after a restart, answered or closed
-- before (there the void flag says nothing: the turn that took the command back is fed again).
local function settled(a, seq, name, head, closed)
  if seq <= a.kept then
    -- The code was compared with it when it asked for this one, with which it is compared from now on.
    local before = redis.call('HGET', a.journal, 'k' .. name)
    local open = redis.call('HEXISTS', a.journal, 'x' .. name) == 0
    local outcome = open and redis.call('HGET', a.journal, 'r' .. name)
    -- Kept for an outcome that is lost by now: what was done is not done again, and k<seq> stays, as the sign of it.
    if open and before and not outcome and not has(head_of(before).flags, 'd') then return true end
    if before then redis.call('HDEL', a.journal, 'k' .. name) end
    if open then
      if not outcome then return false end
      if number_of(outcome) <= tonumber(head.at) then
        -- It was fed before its command was asked for (the code takes another way now), so the code has not taken it.
        redis.call('HDEL', a.journal, 'r' .. name)
        if before and head.kind ~= 'child' and string.sub(before, 1, 6) == 'child|' then
          --@ outbox
          dismiss(a, 'cleanup', name, before)
        end
        return false
      end
    end
    -- The child that it is about is that of before, and goes with this actor.
    if head.kind == 'child' then take_up(a, name, head, redis.call('HGET', a.journal, 'c' .. name)) end
    return true
  end
  if has(head.flags, 'v') or (closed and closed[name]) then return true end
  return head.kind == 'wait' and not closed and redis.call('HEXISTS', a.journal, 'x' .. name) == 1
end

-- Puts a command into its place; returns its field of the open table (nil: it has no outcome).
-- One function, not one a kind: every function that a script defines costs each call of it 0.1 us.
local function place(a, now, seq, name, head, command, eager, granted, seen)
  local kind = head.kind
  if kind == 'step' then
    if head.due > now then
      schedule('delayed', head.due, member('step', a.generation, seq, '1', '', a.address))
      return open_value('1', '', '', 'delayed:step', '', '0')
    end
    if not may_hold(eager, head, granted, seen, now) then
      return open_value('1', '', '', enqueue(a, now, name, '1', head, '0'), '', '0')
    end
    redis.call('ZADD', K .. ':held', 0, member(eager.worker, a.generation, seq, '1', eager.token, a.address))
    granted[#granted + 1] = name
    local where = 'held'
    if head.timeout > 0 or #head.flags > 1 then
      --@ hold
      where = hold(a, now, seq, '1', eager.token, head)
      if has(head.flags, 'i') then eager.used = eager.used - 1 end
    end
    eager.used = eager.used + 1
    return open_value('1', eager.worker, eager.token, where, digits(now), '0')
  elseif kind == 'timer' then
    schedule('delayed', head.due, member('timer', a.generation, seq, '1', '', a.address))
    return open_value('1', '', '', 'delayed:timer', '', '0')
  elseif kind == 'wait' or kind == 'handler' then
    return open_value('1', '', '', 'wait', '', '0')
  elseif kind == 'child' then
    --@ outbox
    redis.call('HSET', a.record, 'children', '1')
    if seq <= a.kept then
      -- Asked for again after a restart. A child that is detached has lived on: its token of before, so the same child.
      -- Else another token, so another child; that of before is not needed any more.
      command = take_up(a, name, head, command)
      if not has(head.flags, 'd') then
        dismiss(a, 'cleanup', name, command)
        take_up(a, name, head, command, string.match(head.token, '^[^.]*') .. '.' .. number_of(a.generation))
      end
    end
    return open_value('1', '', head.token, 'outbox:' .. post(a, 'create', '', { 's', name, 't', head.token }), '', '0')
  elseif kind == 'value' then
    redis.call('HSET', part(a, 'values'), head.target, string.match(command, '\n(.*)$'))
  elseif kind == 'reply' then
    redis.call('HSET', a.journal, 'u' .. head.target, string.match(command, '\n(.*)$'))
    redis.call('PUBLISH', K .. ':replied:' .. a.address, head.target)
  end
end

-- The commands first … last, from the caller's arguments if they begin there, else from the journal.
local function commands_of(a, first, last, given, given_from)
  if first > last then return {} end
  if given and given_from == first then return given end
  local names = {}
  for seq = first, last do names[#names + 1] = 'c' .. seq end
  return redis.call('HMGET', a.journal, unpack(names))
end

local function emit(a, now, limit, eager, given, given_from, closed)
  local granted, fields, seen = {}, {}, {}
  eager.used = 0
  local first, last = a.emitted + 1, math.min(a.commands, a.emitted + limit)
  local commands = commands_of(a, first, last, given, given_from)
  for seq = first, last do
    local command, name = commands[seq - first + 1], tostring(seq)
    local head = head_of(command)
    local value = not settled(a, seq, name, head, closed)
      and place(a, now, seq, name, head, command, eager, granted, seen)
    if value then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  if #fields > 0 then redis.call('HSET', a.open, unpack(fields)) end
  a.emitted = last
  return granted
end
