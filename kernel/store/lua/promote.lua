-- promote: move what is due: timers fire, delayed steps and retries are queued, scheduled actors start, deadlines end.
-- Why a script: a due member and the place that it moves to change together; two timekeepers may do it at once.
-- KEYS 1 tag
-- ARGV 1 now ms  2 nonce base (15 digits)  3 limit (<= 100)  4 payload of a workflow's timeout  5 lease of a timed-out attempt, ms
-- Returns number moved, next due ms ('' = nothing waits), now ms, then (member, worker, command) triples of attempts that timed out, and of steps
--      that waited too long for a worker (worker empty): the caller decides by retry or complete under the owner's token; until it does they come again after the lease.
-- Cost: up to 10 commands a member; 6 an open command of an actor that ends and 2 a child of one that goes. At 100 of these
--      it takes no more of `delayed`, and leaves it to the next call: 400 at most, since one member brings up to 300.
--@ actor
--@ open
--@ members
--@ outbox
--@ ending
--@ bury
local UNDONE_MAX = 100
local now, limit = clock(ARGV[1]), tonumber(ARGV[3])
local moved, expired, nonces = 0, {}, 0

local function nonce()
  nonces = nonces + 1
  return ARGV[2] .. string.format('%03d', nonces)
end

local function step_due(a, seq, attempt, place)
  local o = read_open(a, seq)
  if not o or o.attempt ~= attempt or (o.place ~= place and o.place ~= place .. ':timed') then return end
  local head = head_of(redis.call('HGET', a.journal, 'c' .. seq))
  local to = enqueue(a, now, seq, attempt, head, o.crashes, o.place ~= place)
  redis.call('HSET', a.open, seq, open_value(attempt, '', '', to, '', o.crashes))
end

local act = {}
function act.timer(a, seq)
  local o = read_open(a, seq)
  if not o or o.place ~= 'delayed:timer' then return end
  local id = record_outcome(a, seq, o, nonce(), digits(now), 'fired', '')
  redis.call('HSET', a.record, 'appended', id)
  wake(a)
  redis.call('PUBLISH', a.channel, id)
end
function act.step(a, seq, attempt) step_due(a, seq, attempt, 'delayed:step') end
function act.retry(a, seq, attempt) step_due(a, seq, attempt, 'retries') end
function act.release(a, seq, attempt) step_due(a, seq, attempt, 'delayed:release') end
function act.deadline(a)
  finish(a, now, 'failed', ARGV[4])
  redis.call('PUBLISH', a.channel, a.appended)
end
function act.ready(a) settle(a) end
function act.reconcile(a)
  local m = own_member(a, 'reconcile')
  redis.call('ZADD', K .. ':delayed', digits(now + RECONCILE_MS), m)
  expired[#expired + 1] = m
  expired[#expired + 1] = ''
  expired[#expired + 1] = ''
end

local function start(a)
  set_status(a, redis.call('HDEL', a.record, 'canceling') == 1 and 'canceling' or 'running')
  -- Facts that came before the start are in the mailbox already; then the journal is read instead.
  if a.appended == a.generation then redis.call('XADD', a.events, a.appended, 'e', 'started') end
  wake(a)
  redis.call('PUBLISH', a.channel, a.appended)
end

local function sweep_on(a)
  sweep(a, now)
  if redis.call('HEXISTS', a.record, 'doomed') == 1 then leave(a, now) end
end

local function timed_out(a, m, seq, attempt, token)
  local o = read_open(a, seq)
  if not o or o.attempt ~= attempt or o.token ~= token then return false end
  redis.call('ZADD', K .. ':delayed', digits(now + tonumber(ARGV[5])), m)
  expired[#expired + 1] = m
  expired[#expired + 1] = o.worker
  expired[#expired + 1] = redis.call('HGET', a.journal, 'c' .. seq)
  return true
end

for _, set in ipairs({ 'delayed', 'retries' }) do
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', K .. ':' .. set, '-inf', digits(now), 'LIMIT', 0, limit)) do
    if undone >= UNDONE_MAX and set == 'delayed' then break end
    local what, generation, seq, attempt, token, address = split_member(m)
    local a = load(address)
    local fits = a and a.generation == generation
    redis.call('ZREM', K .. ':' .. set, m)
    moved = moved + 1
    if fits and what == 'start' and a.status == 'scheduled' then start(a)
    elseif fits and (what == 'timeout' or what == 'silent' or what == 'waiting') and live(a) then timed_out(a, m, seq, attempt, token)
    elseif fits and what == 'sweep' and ended(a) then sweep_on(a)
    elseif fits and live(a) and act[what] then act[what](a, seq, attempt)
    elseif fits and what == 'deadline' and a.status == 'scheduled' then act.deadline(a)
    end
  end
end
local due = ''
for _, set in ipairs({ 'delayed', 'retries' }) do
  local first = redis.call('ZRANGE', K .. ':' .. set, 0, 0, 'WITHSCORES')
  if first[2] and (due == '' or tonumber(first[2]) < tonumber(due)) then due = first[2] end
end
return { moved, due, digits(now), unpack(expired) }
