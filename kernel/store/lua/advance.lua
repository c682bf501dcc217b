-- advance: record a step's outcome and commit the turn that it leads to, in one script: the engine's ordinary step.
-- Why a script: nobody may get between the outcome and the decision made on it; if somebody did, only the outcome counts.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 seq  5 attempt  6 worker  7 token  8 nonce  9 recorded time ms  10 status  11 payload
--      12 base (the event id that the caller's turn started from)  13 commit token  14 slots  15 queues served ',a,b,'
--      16 patience ms  17 park 0|1  18 end status ('' = goes on)  19 end payload  20 number of commands  21 number of cancels,
--      then the commands (<= 200), then the numbers canceled (`=seq:n`: a wait that event n has answered);
--      end status `continued` (payload: the new arguments): then a nonce, the record's new version ('' = none), and the
--      numbers of facts that were fed and not taken
-- Returns IDLE event id granted… | MORE event id granted… | APPENDED event id before consumed status (turn not taken) | refusals as complete
-- Cost: 12 commands for one step after another; at an end as commit.
--@ actor
--@ open
--@ settle_obsolete
local a, missing = load(ARGV[2])
if not a then return drop_held(nil, missing) end
local refusal = unfit(a, ARGV[3])
if refusal then return drop_held(a, refusal) end
local o, word = owned(a)
if not o then return word == 'OBSOLETE' and drop_held(a, word) or { word } end
redis.call('HDEL', a.record, '') -- see complete
local before = a.appended
local fits = turning(a) and ARGV[12] == a.consumed and a.consumed == a.appended and a.emitted == a.commands
local given, fields
local added = fits and tonumber(ARGV[20]) or 0
if added > 0 then
  given, fields = {}, {}
  for i = 1, added do
    given[i] = ARGV[21 + i]
    fields[2 * i - 1] = 'c' .. (a.commands + i)
    fields[2 * i] = given[i]
  end
end
local id = record_outcome(a, ARGV[4], o, ARGV[8], ARGV[9], ARGV[10], ARGV[11], fields)
if not fits then
  redis.call('HSET', a.record, 'appended', id)
  wake(a)
  redis.call('PUBLISH', a.channel, id)
  return { 'APPENDED', id, before, a.consumed, ARGV[10] }
end
--@ emit
--@ turn
local now = clock(ARGV[1])
local left, granted = take_turn(a, now, {
  reached = id, added = added, given = given, given_from = a.commands + 1,
  list = ARGV, cancels = tonumber(ARGV[21]), cancels_at = 22 + added,
  end_status = ARGV[18], end_payload = ARGV[19], park = ARGV[17] == '1',
  eager = { slots = tonumber(ARGV[14]), queues = ARGV[15], patience = tonumber(ARGV[16]), worker = ARGV[6], token = ARGV[13] },
})
redis.call('PUBLISH', a.channel, id)
return { left, id, unpack(granted) }
