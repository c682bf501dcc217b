-- postpone: give back a ready entry of an actor that the caller cannot turn; it comes back after the delay.
-- Why a script: the record names its one ready entry, and the wake-up must be in one place at any moment.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 ready entry  4 delay ms (0 = end of the ready stream)
--      5 the consumed event id at which the delay holds ('' = at any)  6 delay ms at another one
--      7 why its journal cannot be read, one line ('' = that is not the reason)
-- Returns POSTPONED consumed | IDLE
-- Cost: 6 commands, 2 more with a reason.
--@ actor
--@ open
--@ outbox
local REASONS_MAX = 3
local a = load(ARGV[2])
redis.call('XACK', K .. ':ready', 'dispatchers', ARGV[3])
redis.call('XDEL', K .. ':ready', ARGV[3])
if not a or a.ready ~= ARGV[3] then return { 'IDLE' } end
redis.call('HSET', a.record, 'ready', '')
a.ready = ''
if ARGV[7] ~= '' then
  -- How often it was given back at this point, and the different reasons: nobody goes on until one can read it.
  local times, reasons = string.match(redis.call('HGET', a.record, 'unread') or '', '^' .. a.consumed:gsub('%-', '%%-') .. '|(%d+)(.*)$')
  local why, kept = '\n' .. ARGV[7], reasons or ''
  local _, many = string.gsub(kept, '\n', '')
  if many < REASONS_MAX and not string.find(kept .. '\n', why .. '\n', 1, true) then kept = kept .. why end
  redis.call('HSET', a.record, 'unread', a.consumed .. '|' .. (tonumber(times or 0) + 1) .. kept)
end
local delay = tonumber((ARGV[5] == '' or ARGV[5] == a.consumed) and ARGV[4] or ARGV[6])
if delay > 0 and turning(a) and not (a.appended == a.consumed and a.emitted == a.commands) then
  schedule('delayed', clock(ARGV[1]) + delay, own_member(a, 'ready'))
else
  settle(a)
end
return { 'POSTPONED', a.consumed }
