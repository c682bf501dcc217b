-- postpone: give back a ready entry whose code the caller does not know; it comes back after the delay.
-- Why a script: the record names its one ready entry, and the wake-up must be in one place at any moment.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 ready entry  4 delay ms (0 = end of the ready stream)
-- Returns POSTPONED | IDLE
-- Cost: 6 commands.
--@ actor
--@ open
--@ outbox
local a = load(ARGV[2])
redis.call('XACK', K .. ':ready', 'dispatchers', ARGV[3])
redis.call('XDEL', K .. ':ready', ARGV[3])
if not a or a.ready ~= ARGV[3] then return { 'IDLE' } end
redis.call('HSET', a.record, 'ready', '')
a.ready = ''
local delay = tonumber(ARGV[4])
if delay > 0 and turning(a) and not (a.appended == a.consumed and a.emitted == a.commands) then
  schedule('delayed', clock(ARGV[1]) + delay, own_member(a, 'ready'))
else
  settle(a)
end
return { 'POSTPONED' }
