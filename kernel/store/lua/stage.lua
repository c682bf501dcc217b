-- stage: put one chunk of a decision of more than 200 commands into the journal, above `commands`, where no reader looks,
-- under the turn's token; commit makes them real by raising the count.
-- Why a script: a chunk of a turn that is already outdated must not be kept, and two turns' chunks must not mix.
-- KEYS 1 tag
-- ARGV 1 address  2 generation  3 base  4 commit token  5 number of the first command here  6… the commands (<= 200)
-- Returns STAGED | STALE_TURN … | STAGE_LOST … | NOT_FOUND | GONE | ENDED … | STALE_GENERATION …
-- Cost: 4 commands.
--@ actor
local a, missing = load(ARGV[1])
if not a then return { missing } end
local refusal = unfit(a, ARGV[2])
if refusal then return refuse(refusal, a) end
if not turning(a) or ARGV[3] ~= a.consumed or a.emitted ~= a.commands then return refuse('STALE_TURN', a) end
local first = tonumber(ARGV[5])
local turn = ARGV[3] .. '|' .. ARGV[4] -- the staged hash names turns by it
local held = redis.call('HMGET', part(a, 'staged'), 'token', 'count')
local mine = held[1] == turn and tonumber(held[2]) or 0
if first < a.commands + 1 or first > a.commands + 1 + mine then
  return refuse('STAGE_LOST', a)
end
local fields = {}
for i = 6, #ARGV do
  fields[#fields + 1] = 'c' .. (first + i - 6)
  fields[#fields + 1] = ARGV[i]
end
redis.call('HDEL', a.record, '') -- see complete
-- A chunk that is sent again (its reply was lost) does not take back those that came after it.
redis.call('HSET', part(a, 'staged'), 'token', turn, 'count', math.max(mine, first + #ARGV - 6 - a.commands))
redis.call('HSET', a.journal, unpack(fields))
return { 'STAGED' }
