-- anew: continue_as_new. The journal is replaced in one step; facts that nobody took come along under new numbers,
-- and so do the dedupe fields and the replies to updates of the generation that ends: who asked may not have heard yet.
-- Numbers go on, so no event id is issued twice; parent, waiters, values and other fields of the record stay.
-- Everything is inside one function: what a script defines costs each call of it, and this is rarely called.
-- list[at] is the nonce of the new started event, list[at + 1] the version of the code that it is for ('' = none),
-- list[at + 2] … the numbers of facts that were fed and not taken.
local function begin_anew(a, now, arguments, list, at)
  -- Messages that start detached children must not look into a journal that is about to go: they take their command along.
  local function carry_children(a)
    local carried = {}
    local all = redis.call('HGETALL', a.open)
    for i = 1, #all, 2 do
      local entry = string.match(parse_open(all[i + 1]).place, '^outbox:(.+)$')
      if entry then
        local command = redis.call('HGET', a.journal, 'c' .. all[i])
        local head = head_of(command)
        if has(head.flags, 'd') then
          redis.call('XACK', K .. ':outbox', 'couriers', entry)
          if redis.call('XDEL', K .. ':outbox', entry) == 1 then redis.call('HINCRBY', a.record, 'undelivered', -1) end
          post(a, 'create', '', { 's', all[i], 't', head.token, 'p', command })
          carried[#carried + 1] = command
        end
      end
    end
    return carried
  end

  -- Of the large payloads those stay that something still refers to; all, while messages that may refer to some are on
  -- their way (the next generation's beginning, or the cleanup, takes what was left).
  local function drop_large(a, texts)
    local large, kept, dropped = part(a, 'large'), {}, {}
    if redis.call('EXISTS', large) == 0 or tonumber(redis.call('HGET', a.record, 'undelivered') or '0') > 0 then return end
    for _, text in ipairs(texts) do
      for digest in string.gmatch(text, '\193l(%x+)') do kept[string.sub(digest, 1, 40)] = true end
    end
    for _, digest in ipairs(redis.call('HKEYS', large)) do
      if not kept[digest] then dropped[#dropped + 1] = digest end
    end
    for from = 1, #dropped, 1000 do redis.call('HDEL', large, unpack(dropped, from, math.min(#dropped, from + 999))) end
  end

  -- Dedupe fields and replies of this generation (older ones have had their time), as a flat list.
  local function remembered(a)
    local names, kept, since = {}, {}, number_of(a.generation)
    for _, field in ipairs(redis.call('HKEYS', a.journal)) do
      local letter = string.sub(field, 1, 1)
      if letter == 'd' or (letter == 'u' and tonumber(string.sub(field, 2)) >= since) then names[#names + 1] = field end
    end
    for from = 1, #names, 1000 do
      local last = math.min(#names, from + 999)
      for i, value in ipairs(redis.call('HMGET', a.journal, unpack(names, from, last))) do
        local name = names[from + i - 1]
        if string.sub(name, 1, 1) == 'u' or number_of(value) >= since then
          kept[#kept + 1] = name
          kept[#kept + 1] = value
        end
      end
    end
    return kept
  end

  -- Dedupe fields lead to the new numbers of facts that came along.
  local function renumber(dedupes, moved)
    for i = 2, #dedupes, 2 do dedupes[i] = moved[dedupes[i]] or dedupes[i] end
    for from = 1, #dedupes, 1000 do
      redis.call('HSET', a.journal, unpack(dedupes, from, math.min(#dedupes, from + 999)))
    end
  end

  -- Facts to carry: those listed (fed, taken by no wait; list[first] …), then those not consumed: after a restart the ones
  -- that were kept are in the journal alone, the others in the mailbox too.
  local function untaken(a, list, first)
    local facts = {}
    local function carry(n)
      local fact = redis.call('HGET', a.journal, 'e' .. n)
      local kind = fact and string.match(fact, '^[^|]*|([^|]*)|')
      if kind and kind ~= 'started' and kind ~= 'restarted' then facts[#facts + 1] = fact end
    end
    for i = first, #list do carry(list[i]) end
    for n = number_of(a.consumed) + 1, number_of(a.generation) - 1 do carry(digits(n)) end
    for _, entry in ipairs(redis.call('XRANGE', a.events, '(' .. a.consumed, '+')) do
      if entry[2][1] == 'e' then carry(digits(number_of(entry[1]))) end
    end
    return facts
  end

  local function rearm_deadline(a, now, generation)
    local timeout = redis.call('HGET', a.record, 'timeout')
    redis.call('ZREM', K .. ':delayed', own_member(a, 'ready'), own_member(a, 'deadline'), own_member(a, 'reconcile'))
    if timeout then
      schedule('delayed', now + tonumber(timeout), member('deadline', generation, '0', '0', '', a.address))
    end
  end

  -- Nobody can ask for the results of children of the journal that goes.
  local function dismiss_children(a)
    if redis.call('HEXISTS', a.record, 'children') == 0 then return end
    for first = 1, a.commands, 200 do
      local last = math.min(a.commands, first + 199)
      for i, command in ipairs(commands_of(a, first, last)) do
        if command and string.sub(command, 1, 6) == 'child|' then dismiss(a, 'cleanup', tostring(first + i - 1), command) end
      end
    end
    for seq = a.commands + 1, a.kept do -- kept by a restart and not asked for again
      local command = redis.call('HGET', a.journal, 'k' .. seq)
      if command and string.sub(command, 1, 6) == 'child|' then dismiss(a, 'cleanup', tostring(seq), command) end
    end
  end

  local texts = carry_children(a)
  while take_back(a, SWEEP_MAX) do end
  dismiss_children(a)
  local facts, dedupes = untaken(a, list, at + 2), remembered(a)
  for _, fact in ipairs(facts) do texts[#texts + 1] = fact end
  for _, value in ipairs(redis.call('HVALS', part(a, 'values'))) do texts[#texts + 1] = value end
  for _, kept in ipairs(dedupes) do texts[#texts + 1] = kept end
  texts[#texts + 1] = arguments
  drop_large(a, texts)
  local n = number_of(a.appended) + 1
  local generation = string.format('%d-%s', n, list[at])
  rearm_deadline(a, now, generation)
  redis.call('UNLINK', a.journal, a.events, part(a, 'staged'))
  local priority = redis.call('HGET', a.record, 'priority') or ''
  redis.call('HSET', a.journal, 'e' .. digits(n),
    generation .. '|started|' .. digits(now) .. '|' .. priority .. '\n' .. arguments)
  redis.call('XADD', a.events, generation, 'e', 'started')
  a.generation, a.appended, a.consumed, a.commands, a.emitted = generation, generation, '0-0', 0, 0
  local status, moved = 'running', {}
  for _, fact in ipairs(facts) do
    local old, nonce, kind, rest = string.match(fact, '^(%d+%-(%d+))|([^|]*)|%d+|(.*)$')
    local name, payload = string.match(rest, '^([^\n]*)\n(.*)$')
    moved[old] = record_event(a, nonce, kind, digits(now), name, payload)
    if kind == 'cancel_requested' then status = 'canceling' end
  end
  renumber(dedupes, moved)
  if status ~= a.status then set_status(a, status) end
  redis.call('HDEL', a.record, 'kept', 'children', 'python', 'version')
  if list[at + 1] ~= '' then redis.call('HSET', a.record, 'version', list[at + 1]) end
  redis.call('HSET', a.record, 'generation', generation, 'first', digits(n), 'appended', a.appended, 'consumed', a.consumed,
    'commands', '0', 'emitted', '0')
end
