-- requeue: take what a dead worker had begun out of its hands. Called only after the worker was fenced.
-- Why a script: owner, held and the next place change together; a reaper that comes second finds nothing.
-- KEYS 1 tag
-- ARGV 1 now ms  2 dead worker  3 nonce base (15 digits)  4 limit (<= 100)  5 crashes that convict
--      6 payload of an unknown outcome  7 payload of WorkerDied
--      8 ms: what it began later is no crash ('' = all is): a worker that was paused begins steps until it hears of its death
-- Returns number taken
-- Cost: up to 12 commands a member.
--@ actor
--@ open
--@ members
local now, taken = clock(ARGV[1]), 0
local function finish_step(a, seq, o, payload)
  local id = record_outcome(a, seq, o, ARGV[3] .. string.format('%03d', taken), digits(now), 'failed', payload)
  redis.call('HSET', a.record, 'appended', id)
  wake(a)
  redis.call('PUBLISH', a.channel, id)
end
local members = redis.call('ZRANGEBYLEX', K .. ':held', '[' .. ARGV[2] .. '|', '(' .. ARGV[2] .. '}', 'LIMIT', 0, ARGV[4])
for _, m in ipairs(members) do
  local worker, generation, seq, attempt, token, address = split_member(m)
  redis.call('ZREM', K .. ':held', m)
  taken = taken + 1
  local a = load(address)
  local o = a and not unfit(a, generation) and read_open(a, seq)
  if o and o.attempt == attempt and o.worker == worker and o.token == token then
    local head = head_of(redis.call('HGET', a.journal, 'c' .. seq))
    local later = ARGV[8] ~= '' and tonumber(o.begun) > tonumber(ARGV[8])
    local crashes = tonumber(o.crashes) + (later and 0 or 1)
    if has(head.flags, 'o') then
      finish_step(a, seq, o, ARGV[6])
    elseif crashes >= tonumber(ARGV[5]) then
      redis.call('XADD', K .. ':dead', '*', 'a', address, 'g', generation, 's', seq, 't', head.target, 'worker', worker,
        'crashes', crashes)
      finish_step(a, seq, o, ARGV[7])
    else
      unplace(a, seq, o, true)
      local place = enqueue(a, now, seq, attempt, head, tostring(crashes), false, string.match(o.place, '@.*$'))
      redis.call('HSET', a.open, seq, open_value(attempt, '', '', place, '', tostring(crashes)))
      redis.call('PUBLISH', a.channel, 'q')
    end
  end
end
return taken
