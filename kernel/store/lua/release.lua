-- release: give back a step that the caller cannot or may not run (unknown code, drain). Not a crash.
-- Why a script: it leaves the caller's hands and reaches its next place in one moment.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 seq  5 attempt  6 worker ('' = not begun)  7 token  8 queue  9 stream entry ('' = begun)
--      10 delay ms (0 = end of the queue)  11 nonce  12 payload if its outcome is unknown (it had started and must not start again)
-- Returns RELEASED | COMPLETED event id | OBSOLETE | NOT_OWNER | ENDED … | STALE_GENERATION …
-- Cost: 8 commands.
--@ actor
--@ open
--@ settle_obsolete
local stream = K .. ':q:' .. ARGV[8]
local function drop(word)
  if ARGV[9] ~= '' then
    redis.call('XACK', stream, 'workers', ARGV[9])
    redis.call('XDEL', stream, ARGV[9])
  end
  return drop_held(nil, word)
end
local a, missing = load(ARGV[2])
if not a then return drop(missing) end
if unfit(a, ARGV[3]) then return drop('OBSOLETE') end
local o, word = owned(a)
-- Of a command that was not begun any mismatch makes the entry obsolete: the open table names the place that counts.
if not o then return (word == 'OBSOLETE' or ARGV[9] ~= '') and drop('OBSOLETE') or { word } end
local here = 'q:' .. ARGV[8] .. ':' .. ARGV[9]
local plain, permit = string.match(o.place, '^([^@]*)(.*)$')
if o.worker == '' and plain ~= here and plain ~= here .. ':timed' then return drop('OBSOLETE') end
local now, seq, delay = clock(ARGV[1]), ARGV[4], tonumber(ARGV[10])
local head = head_of(redis.call('HGET', a.journal, 'c' .. seq))
redis.call('HDEL', a.record, '') -- see complete
if o.worker ~= '' and has(head.flags, 'o') and ARGV[12] ~= '' then
  local id = record_outcome(a, seq, o, ARGV[11], digits(now), 'failed', ARGV[12])
  redis.call('HSET', a.record, 'appended', id)
  wake(a)
  redis.call('PUBLISH', a.channel, id)
  return { 'COMPLETED', id }
end
-- Who has waited and was not begun goes on waiting: its time is not given anew.
local waits = o.worker == '' and plain ~= here
if waits then o.place = here .. permit end
unplace(a, seq, o, delay == 0) -- a permit goes back if it is to wait: others may need it meanwhile
local place = 'delayed:release' .. (waits and ':timed' or '')
if delay > 0 then
  schedule('delayed', now + delay, member('release', a.generation, seq, o.attempt, '', a.address))
else
  place = enqueue(a, now, seq, o.attempt, head, o.crashes, waits, permit ~= '' and permit or nil)
end
redis.call('HSET', a.open, seq, open_value(o.attempt, '', '', place, '', o.crashes))
redis.call('PUBLISH', a.channel, 'q')
return { 'RELEASED' }
