-- commit: make a turn's decision true, whole or not at all.
-- Why a script: a decision made on an outdated past must change nothing.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 base (the consumed event id that the turn started from)  5 reached (the last event id fed)
--      6 worker  7 commit token  8 slots  9 queues served ',a,b,'  10 patience ms  11 park 0|1  12 end status  13 end payload
--      14 number of commands given here  15 number of commands staged (0: none staged)  16 number of cancels
--      17 what the record says of the code's surroundings if this is a generation's first turn ('' = nothing),
--      then the commands (<= 200), then the numbers canceled (`=seq:n`: a wait that event n has answered);
--      end status `continued` (payload: the new arguments): then a nonce, the record's new version ('' = none), and the
--      numbers of facts that were fed and not taken
-- Returns IDLE reached granted… | MORE reached granted… | STALE_TURN … | STAGE_LOST … | NOT_FOUND | GONE | ENDED … | STALE_GENERATION …
-- Cost: 9 commands and those that emit needs; at an end 12 and up to 6 an open command, of which at most 100 here, and at
--      `continued` all of them in one moment, with 3 a command of a child and one a fact that comes along.
--@ actor
--@ open
--@ emit
--@ turn
local a, missing = load(ARGV[2])
if not a then return { missing } end
local refusal = unfit(a, ARGV[3])
if refusal then return refuse(refusal, a) end
local reached, staged, added = ARGV[5], tonumber(ARGV[15]), tonumber(ARGV[14])
if not turning(a) or ARGV[4] ~= a.consumed or a.emitted ~= a.commands then return refuse('STALE_TURN', a) end
if number_of(reached) < number_of(a.consumed) then return refuse('STALE_TURN', a) end
-- The caller has read an event that is there still: in the mailbox, or, after a restart, among those kept in the journal.
if reached ~= a.appended and number_of(reached) >= number_of(a.generation)
  and #redis.call('XRANGE', a.events, reached, reached) == 0 then return refuse('STALE_TURN', a) end
if staged > 0 then
  local held = redis.call('HMGET', part(a, 'staged'), 'token', 'count')
  if held[1] ~= ARGV[4] .. '|' .. ARGV[7] or tonumber(held[2]) ~= staged then return refuse('STAGE_LOST', a) end
end
redis.call('HDEL', a.record, 'unread') -- also the first write, see complete
if ARGV[17] ~= '' and a.consumed == '0-0' then redis.call('HSET', a.record, 'python', ARGV[17]) end
local now = clock(ARGV[1])
local given
if staged > 0 then
  redis.call('DEL', part(a, 'staged'))
elseif added > 0 then
  local fields = {}
  given = {}
  for i = 1, added do
    given[i] = ARGV[17 + i]
    fields[2 * i - 1] = 'c' .. (a.commands + i)
    fields[2 * i] = given[i]
  end
  redis.call('HSET', a.journal, unpack(fields))
end
local left, granted = take_turn(a, now, {
  reached = reached, added = math.max(added, staged), given = given, given_from = a.commands + 1,
  list = ARGV, cancels = tonumber(ARGV[16]), cancels_at = 18 + added,
  end_status = ARGV[12], end_payload = ARGV[13], park = ARGV[11] == '1',
  eager = { slots = tonumber(ARGV[8]), queues = ARGV[9], patience = tonumber(ARGV[10]), worker = ARGV[6], token = ARGV[7] },
})
redis.call('PUBLISH', a.channel, reached)
return { left, reached, unpack(granted) }
