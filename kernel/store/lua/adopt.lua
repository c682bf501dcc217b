-- adopt: confirm that a command which Redis lists as held by the caller is still the caller's to run.
-- Why a script: a listing is outdated when it arrives; only this answer may start anything. No effect on a command that is owned.
-- KEYS 1 tag
-- ARGV 1 held member
-- Returns BEGUN command attempt crashes begun-ms details | OBSOLETE
-- Cost: 4 commands.
--@ actor
--@ open
--@ members
local worker, generation, seq, attempt, token, address = split_member(ARGV[1])
local a = load(address)
local o = a and not unfit(a, generation) and read_open(a, seq)
if o and o.attempt == attempt and o.worker == worker and o.token == token and redis.call('ZSCORE', K .. ':held', ARGV[1]) then
  local command = redis.call('HGET', a.journal, 'c' .. seq)
  return { 'BEGUN', command, o.attempt, o.crashes, o.begun, redis.call('HGET', a.journal, 'h' .. seq) or '' }
end
redis.call('ZREM', K .. ':held', ARGV[1])
return { 'OBSOLETE' }
