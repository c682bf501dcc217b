-- beat: a running step says that it is alive and leaves details for its next attempt.
-- KEYS 1 tag
-- ARGV 1 held member  2 details ('' = leaves those of before)  3 now ms
-- Returns OK | CANCELED (no longer wanted) | NOT_OWNER (somebody else's now)
-- Cost: 5 commands, 8 if it has a limit of silence.
--@ actor
--@ open
--@ members
local worker, generation, seq, attempt, token, address = split_member(ARGV[1])
local a = load(address)
local o = a and not unfit(a, generation) and read_open(a, seq)
if not o or o.attempt ~= attempt then return { 'CANCELED' } end
if o.worker ~= worker or o.token ~= token then return { 'NOT_OWNER' } end
redis.call('HDEL', a.record, '') -- see complete
if string.find(o.place, ':beats', 1, true) then
  local silence = string.match(head_of(redis.call('HGET', a.journal, 'c' .. seq)).flags, 'h(%d+)')
  schedule('delayed', clock(ARGV[3]) + tonumber(silence), member('silent', a.generation, seq, attempt, token, a.address))
end
if ARGV[2] ~= '' then
  redis.call('HSET', a.journal, 'h' .. seq, ARGV[2])
  redis.call('PUBLISH', a.channel, 'h')
end
return { 'OK' }
