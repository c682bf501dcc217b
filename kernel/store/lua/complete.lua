-- complete: record the final outcome of a step that the caller holds, with a mutation's writes.
-- Why a script: owner check, writes, outcome and wake-up are one decision; a mutation's writes are there exactly when its success is.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 seq  5 attempt  6 worker  7 token  8 nonce  9 recorded time ms  10 status
--      11 payload  12 payload if a write breaks  13 number of writes, then for each: number of words, words;
--      then, if no transaction guards what a mutation read: each key that it read or wrote, with its fingerprint
-- Returns APPENDED event id appended-before consumed status | OBSOLETE | NOT_OWNER | NOT_FOUND | GONE | ENDED … | STALE_GENERATION … | CONFLICT
-- Cost: 9 commands and the writes; with fingerprints 2 a key more, on Redis 6 5.
--@ actor
--@ open
--@ settle_obsolete
local WORDS_MAX = 7000
local a, missing = load(ARGV[2])
if not a then return drop_held(nil, missing) end
local refusal = unfit(a, ARGV[3])
if refusal then return drop_held(a, refusal) end
local o, word = owned(a)
if not o then return word == 'OBSOLETE' and drop_held(a, word) or { word } end
local status, payload = ARGV[10], ARGV[11]
local i, count = 14, tonumber(ARGV[13])
for _ = 1, count do -- before any effect: a write that Lua cannot unpack would break off halfway
  local words = tonumber(ARGV[i])
  if words > WORDS_MAX then return redis.error_reply('ERR a write of ' .. words .. ' words; the limit is ' .. WORDS_MAX) end
  i = i + 1 + words
end
if ARGV[i] then -- before any effect, too
  --@ fingerprint
  for at = i, #ARGV, 2 do
    if fingerprint(ARGV[at]) ~= ARGV[at + 1] then return { 'CONFLICT' } end
  end
end
redis.call('HDEL', a.record, '') -- at maxmemory only a script's first write can be refused, and this one never is
local applied, broken = 0, nil
i = 14
for _ = 1, count do
  local words = tonumber(ARGV[i])
  if not broken then
    local reply = redis.pcall(unpack(ARGV, i + 1, i + words))
    if type(reply) == 'table' and reply.err then broken = reply.err else applied = applied + 1 end
  end
  i = i + 1 + words
end
if broken then
  status = 'failed'
  payload = string.gsub(ARGV[12], '@APPLIED@', function() return string.format('%09d', applied) end)
end
local before = a.appended
local id = record_outcome(a, ARGV[4], o, ARGV[8], ARGV[9], status, payload)
redis.call('HSET', a.record, 'appended', id)
wake(a)
redis.call('PUBLISH', a.channel, id)
return { 'APPENDED', id, before, a.consumed, status }
