-- published: values that a decision sets, replies that it gives. Needs emit, outbox.
-- Of a decision that ends the actor only these take effect, and detached children start. What starts them takes the
-- command along, since the journal may be gone before it is delivered.
local function publish_values(a, given, given_from)
  for first = a.emitted + 1, a.commands, 200 do
    local last = math.min(a.commands, first + 199)
    for i, command in ipairs(commands_of(a, first, last, given, given_from)) do
      local kind = string.sub(command, 1, 6)
      if kind == 'value|' or kind == 'reply|' then
        place(a, 0, 0, '', head_of(command), command)
      elseif kind == 'child|' then
        local head, seq = head_of(command), first + i - 1
        if seq <= a.kept then command = take_up(a, tostring(seq), head, command) end
        if has(head.flags, 'd') and not settled(a, seq, tostring(seq), head, {}) then
          post(a, 'create', '', { 's', tostring(seq), 't', head.token, 'p', command })
        end
      end
    end
  end
  a.emitted = a.commands
end
