-- restart: let an ended actor run again from one of its commands. What is to be dropped the caller has worked out from the
-- journal, which cannot change while the actor is ended (the generation guards that); here it happens in one moment.
-- Kept events after `consumed` are fed again, from the journal. The first turn's commit places again what was kept and has
-- neither outcome nor x<seq>; see turn. A command that is dropped while its outcome stays is kept as k<seq>, and so is that of
-- a detached child: the code is compared with it if it asks for that number again.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 nonce  5 consumed (event id)  6 commands (asked for up to there)
--      7 kept (the last number whose outcome may stay)  8 numbers of the events that stay ('' = no outcome does)
--      9 number of child commands whose children go, then their numbers, then the journal fields to drop
-- Returns RESTARTED generation | RUNNING … | BUSY … (messages or open commands are still being cleared up: again, soon)
--      | STALE_GENERATION … | NOT_FOUND | GONE
-- Cost: 14 commands, 3 a child, one for 1,000 fields dropped, two to four for each command before `kept` that is dropped.
--@ actor
--@ open
--@ event
--@ outbox
--@ ending
local a, missing = load(ARGV[2])
if not a then return { missing } end
local again = redis.call('HMGET', a.record, 'doomed', 'undelivered', 'timeout')
if string.match(a.generation, '-(%d+)$') == ARGV[4] then return { 'RESTARTED', a.generation } end -- this very call, repeated
if again[1] then return { 'GONE' } end
if not ended(a) then return refuse('RUNNING', a) end
if a.generation ~= ARGV[3] then return refuse('STALE_GENERATION', a) end
if tonumber(again[2] or '0') > 0 or redis.call('EXISTS', a.open) == 1 then return refuse('BUSY', a) end

redis.call('HDEL', a.record, 'ended', 'reason', 'code', 'stopped', 'canceling', 'kept', 'kept_events', 'unread') -- also the first write, see complete
local now, children = clock(ARGV[1]), tonumber(ARGV[9])
for i = 10, 9 + children do
  local asked = redis.call('HMGET', a.journal, 'c' .. ARGV[i], 'k' .. ARGV[i])
  dismiss(a, 'cleanup', ARGV[i], asked[1] or asked[2])
end
redis.call('HDEL', a.journal, 'result')
local dropped = {}
for i = 10 + children, #ARGV do
  local seq = string.match(ARGV[i], '^c(%d+)$')
  if seq and tonumber(seq) <= tonumber(ARGV[7]) then
    dropped[#dropped + 1] = { seq, redis.call('HGET', a.journal, ARGV[i]) }
  end
end
for from = 10 + children, #ARGV, 1000 do
  redis.call('HDEL', a.journal, unpack(ARGV, from, math.min(#ARGV, from + 999)))
end
for _, one in ipairs(dropped) do
  local seq, command = one[1], one[2]
  local head = head_of(command)
  local child = head.kind == 'child'
  -- Which child it was, for what asks for it again: see settled and place.
  if child then redis.call('HSET', a.journal, 't' .. seq, head.token) end
  if child and has(head.flags, 'd') or redis.call('HEXISTS', a.journal, 'r' .. seq) == 1 then
    redis.call('HSET', a.journal, 'k' .. seq, command)
  end
end
a.generation = record_event(a, ARGV[4], 'restarted', digits(now), digits(number_of(ARGV[5])), '')
a.consumed, a.commands, a.emitted = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[6])
redis.call('HSET', a.record, 'generation', a.generation, 'appended', a.appended, 'consumed', a.consumed,
  'commands', a.commands, 'emitted', a.emitted)
if tonumber(ARGV[7]) > 0 then redis.call('HSET', a.record, 'kept', ARGV[7] .. '*', 'kept_events', ARGV[8]) end
set_status(a, 'running')
redis.call('ZREM', K .. ':expiry', a.address)
if again[3] then
  schedule('delayed', now + tonumber(again[3]), own_member(a, 'deadline'))
end
wake(a)
redis.call('PUBLISH', a.channel, a.appended)
return { 'RESTARTED', a.generation }
