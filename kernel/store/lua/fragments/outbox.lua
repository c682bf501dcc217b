-- outbox: messages to actors that may live in other slots, written in the transition that decides them.
-- undelivered in the record counts them; the courier's `sent` counts down.
-- A message about a child that is no longer wanted carries the child's command (without its arguments) as payload `p`,
-- since the journal may have changed before it is delivered; `create` finds its command in the journal, unless it has a `p`.
--@ post

-- A command's journal field without its arguments: first line, length 0, options.
local function without_arguments(command)
  local head, length, rest = string.match(command, '^([^\n]*)\n(%d+)\n(.*)$')
  if not head then return command end
  return head .. '\n0\n' .. string.sub(rest, tonumber(length) + 1)
end

-- Commands taken back and children told so far in this call: `promote` goes by it.
local undone = 0

local function is_child(o) return o.place == 'sent' or string.sub(o.place, 1, 7) == 'outbox:' end

-- Tells a child that it is no longer wanted (`cancel`) or no longer needed (`cleanup`), unless it is detached.
local function dismiss(a, what, seq, command)
  undone = undone + 1
  local head = head_of(command)
  if not has(head.flags, 'd') then
    post(a, what, '', { 's', seq, 't', head.token, 'p', without_arguments(command) })
  end
end

-- Takes back a command that is no longer wanted; a worker that runs it is told at once.
local function revoke(a, seq, o)
  undone = undone + 1
  unplace(a, seq, o)
  if o.worker ~= '' then
    redis.call('PUBLISH', K .. ':revoked', member(o.worker, a.generation, seq, o.attempt, o.token, a.address))
  end
end
