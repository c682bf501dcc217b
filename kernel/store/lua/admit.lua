-- admit: a step has got its permit and goes to its queue.
-- Why a script: it goes only if it still waits for this very permit; else the caller gives the permit back.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 generation  4 seq  5 attempt  6 pool  7 ask  8 1: only look whether it is wanted
-- Returns ADMITTED (also if it was before) | WAITS (it was only looked at) | OBSOLETE
-- Cost: 8 commands.
--@ actor
--@ open
local a = load(ARGV[2])
local seq, named = ARGV[4], ARGV[6] .. ':' .. ARGV[7]
local o = a and not unfit(a, ARGV[3]) and read_open(a, seq)
if not o or o.attempt ~= ARGV[5] then return { 'OBSOLETE' } end
if string.match(o.place, '@(.*)$') == named then return { 'ADMITTED' } end
local asked, mark = string.match(o.place, '^pool:([^:]+:[^:]+)(.*)$')
if asked ~= named then return { 'OBSOLETE' } end
if ARGV[8] == '1' then return { 'WAITS' } end
redis.call('HDEL', a.record, '') -- see complete
local head = head_of(redis.call('HGET', a.journal, 'c' .. seq))
local place = enqueue(a, clock(ARGV[1]), seq, o.attempt, head, o.crashes, mark ~= '', '@' .. named)
redis.call('HSET', a.open, seq, open_value(o.attempt, '', '', place, '', o.crashes))
redis.call('PUBLISH', a.channel, 'q')
return { 'ADMITTED' }
