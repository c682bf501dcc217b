-- cancel: end an actor at once. Nothing new runs, what runs is dropped.
-- Why a script: the status and the places of everything open change together.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 payload  4 tombstone 0|1: leave one for an unknown actor, so that a start on its way is refused
--      5 message id of that start ('' = whoever started it): an actor that another message started is let live
-- Returns CANCELED | NOT_OWNER … | NOT_FOUND | GONE | ENDED …
-- Cost: 12 commands and up to 6 an open command, of which at most 100 here.
--@ actor
--@ open
--@ outbox
--@ ending
local a, missing = load(ARGV[2])
if not a then
  if ARGV[4] == '1' then
    -- An id that people choose may stand for several starts: each that is refused is remembered.
    local record = place_of(ARGV[2]).record
    local known = redis.call('HMGET', record, 'message', 'refused')
    if missing == 'NOT_FOUND' then
      redis.call('HSET', record, 'status', 'gone', 'message', ARGV[5])
    elseif known[1] ~= ARGV[5] then
      redis.call('HSET', record, 'refused', (known[2] or '') .. '\n' .. ARGV[5] .. '\n')
    end
    redis.call('PEXPIRE', record, 3600000)
  end
  return { missing }
end
if ended(a) then return refuse('ENDED', a) end
if ARGV[5] ~= '' and redis.call('HGET', a.record, 'message') ~= ARGV[5] then return refuse('NOT_OWNER', a) end
local now = clock(ARGV[1])
finish(a, now, 'canceled', ARGV[3])
redis.call('PUBLISH', a.channel, a.appended)
return { 'CANCELED' }
