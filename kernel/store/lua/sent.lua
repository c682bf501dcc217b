-- sent: a courier's message got a definite answer; take it out of the outbox.
-- Why a script: the entry and the sender's count of undelivered messages change together, also when two couriers say so.
-- KEYS 1 tag
-- ARGV 1 outbox entry  2 sender's address  3 generation  4 seq ('' = none)
--      5 now ms
-- Returns 1 if the entry was there, else 0
-- Cost: 8 commands, and 2 a child of an actor that goes, of which at most 200 a call.
--@ actor
--@ open
--@ outbox
--@ bury
local existed = redis.call('XDEL', K .. ':outbox', ARGV[1])
redis.call('XACK', K .. ':outbox', 'couriers', ARGV[1])
if existed == 0 then return 0 end
local a = load(ARGV[2])
if not a then return 1 end
local left = redis.call('HINCRBY', a.record, 'undelivered', -1)
if ARGV[4] ~= '' and a.generation == ARGV[3] then
  local o = read_open(a, ARGV[4])
  if o and o.place == 'outbox:' .. ARGV[1] then
    local now = clock(ARGV[5])
    redis.call('HSET', a.open, ARGV[4], open_value(o.attempt, o.worker, o.token, 'sent', digits(now), o.crashes))
    look_after(a, now)
  end
end
if left == 0 and redis.call('HEXISTS', a.record, 'doomed') == 1 then leave(a, clock(ARGV[5])) end
return 1
