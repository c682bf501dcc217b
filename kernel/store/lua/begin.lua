-- begin: take a queued command for a worker. A compare-and-set on the open table's owner; the stream entry is only a hint.
-- Why a script: the entry leaves its stream in the moment in which the worker becomes the owner, so a command starts once.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 seq  5 attempt  6 worker  7 token  8 queue  9 stream entry
-- Returns BEGUN command attempt crashes begun-ms details | OBSOLETE
-- Cost: 8 commands.
--@ actor
--@ open
local stream, entry = K .. ':q:' .. ARGV[8], ARGV[9]
local function drop()
  redis.call('XACK', stream, 'workers', entry)
  redis.call('XDEL', stream, entry)
  return { 'OBSOLETE' }
end
local a = load(ARGV[2])
if not a or unfit(a, ARGV[3]) then return drop() end
local seq = ARGV[4]
local o = read_open(a, seq)
if not o or o.attempt ~= ARGV[5] then return drop() end
local command = redis.call('HGET', a.journal, 'c' .. seq)
if o.worker == '' then
  local here = 'q:' .. ARGV[8] .. ':' .. entry
  local permit
  if o.place ~= here and o.place ~= here .. ':timed' then
    permit = string.match(o.place, '@.*$')
    local at = permit and string.sub(o.place, 1, -#permit - 1)
    if at ~= here and at ~= here .. ':timed' then return drop() end
  end
  local now = clock(ARGV[1])
  redis.call('HDEL', a.record, '') -- see complete
  if o.place ~= here then redis.call('ZREM', K .. ':delayed', member('waiting', a.generation, seq, o.attempt, '', a.address)) end
  --@ hold
  local place = hold(a, now, seq, o.attempt, ARGV[7], head_of(command))
  if permit then place = place .. permit end
  o.begun = digits(now)
  redis.call('HSET', a.open, seq, open_value(o.attempt, ARGV[6], ARGV[7], place, o.begun, o.crashes))
  redis.call('ZADD', K .. ':held', 0, member(ARGV[6], a.generation, seq, o.attempt, ARGV[7], a.address))
  redis.call('PUBLISH', a.channel, 'b')
elseif o.worker ~= ARGV[6] or o.token ~= ARGV[7] then
  return drop()
end
redis.call('XACK', stream, 'workers', entry)
redis.call('XDEL', stream, entry)
return { 'BEGUN', command, o.attempt, o.crashes, o.begun, redis.call('HGET', a.journal, 'h' .. seq) or '' }
