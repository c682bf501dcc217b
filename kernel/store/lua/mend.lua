-- mend: put right what an actor's own keys show to be wrong, after data was damaged by hand or lost. For `headrace doctor`.
-- Why a script: what is wrong is looked for and put right in one moment, so it does nothing where all is well.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 what: ready | start | indexes | mailbox | ending | messages | commands
--      4 payload of an unknown outcome  5 nonce base (15 digits), then of `commands` their numbers (<= 100)
-- Returns MENDED number of things put right | NOTHING | NOT_FOUND | GONE
-- Cost: up to 12 commands; of `commands` 12 each; of `ending` 6 an open command, at most 100; of `messages` one and the
--      outbox, which is left alone if longer than 1,000, and 2 a child of an actor that goes, at most 200.
--@ actor
--@ open
--@ event
--@ outbox
--@ ending
--@ bury
--@ emit
local OUTBOX_MAX = 1000
local STATUSES = { 'scheduled', 'running', 'canceling', 'stopped', 'completed', 'failed', 'canceled' }
local a, missing = load(ARGV[2])
if not a then return { missing } end
local now, unknown, mended = clock(ARGV[1]), ARGV[4], 0
local function done() mended = mended + 1 end
local function is_delayed(what) return redis.call('ZSCORE', K .. ':delayed', own_member(a, what)) ~= false end
local mend = {}

function mend.ready()
  if a.ready ~= '' then
    local entry = redis.pcall('XRANGE', K .. ':ready', a.ready, a.ready)[1] -- an error: it is no entry's id
    if not entry or entry[2][2] ~= a.address then
      redis.call('HSET', a.record, 'ready', '')
      a.ready = ''
      done()
    end
  end
  local behind = turning(a) and not (a.appended == a.consumed and a.emitted == a.commands)
  if a.ready ~= '' and behind or a.ready == '' and (not behind or is_delayed('ready')) then return end
  settle(a)
  done()
end

-- A workflow that waits for its time: that of its first event.
function mend.start()
  if a.status ~= 'scheduled' or is_delayed('start') then return end
  local first = redis.call('HGET', a.journal, 'e1')
  if not first then return end
  schedule('delayed', tonumber(string.match(first, '^[^|]*|[^|]*|(%d+)|')), own_member(a, 'start'))
  done()
end

function mend.indexes()
  for _, status in ipairs(STATUSES) do
    if status ~= a.status then mended = mended + redis.call('ZREM', index_key(a, status), a.address) end
  end
  mended = mended + redis.call('ZADD', index_key(a, a.status), a.created, a.address)
  for tag in string.gmatch(redis.call('HGET', a.record, 'tags') or '', '[^\n]+') do
    mended = mended + redis.call('ZADD', K .. ':index:tag:' .. tag, a.created, a.address)
  end
end

-- The journal has every event; a mailbox that does not end where the record says is not read again.
function mend.mailbox()
  local last = redis.pcall('XREVRANGE', a.events, '+', '-', 'COUNT', 1)
  if last.err or last[1] and last[1][1] ~= a.appended then mended = mended + redis.call('DEL', a.events) end
end

function mend.ending()
  if not ended(a) then return end
  mended = mended + redis.call('DEL', part(a, 'staged'), a.events)
  if redis.call('EXISTS', a.open) == 1 and not is_delayed('sweep') then
    sweep(a, now)
    done()
  end
end

function mend.messages()
  if redis.call('XLEN', K .. ':outbox') > OUTBOX_MAX then return end
  local count = 0
  for _, entry in ipairs(redis.call('XRANGE', K .. ':outbox', '-', '+')) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'from' and entry[2][i + 1] == a.address then count = count + 1 end
    end
  end
  if count == tonumber(redis.call('HGET', a.record, 'undelivered') or '0') then return end
  redis.call('HSET', a.record, 'undelivered', count)
  done()
  if count == 0 and ended(a) and redis.call('HEXISTS', a.record, 'doomed') == 1 then leave(a, now) end
end

-- An open command whose limits are not armed.
local function rearm(seq, o, head)
  local function arm(what, token, after)
    local m = member(what, a.generation, seq, o.attempt, token, a.address)
    if after and not redis.call('ZSCORE', K .. ':delayed', m) then
      schedule('delayed', now + after, m)
      done()
    end
  end
  local held, marked = string.sub(o.place, 1, 4) == 'held', string.find(o.place, ':timed', 1, true)
  if held and marked then arm('timeout', o.token, head.timeout) end
  if string.find(o.place, ':beats', 1, true) then arm('silent', o.token, tonumber(string.match(head.flags, 'h(%d+)'))) end
  if marked and not held then arm('waiting', '', tonumber(string.match(head.flags, 'w(%d+)'))) end
end

-- A command that was carried out and is neither open nor settled: asked for again. What may run at most once may have run.
local function place_again(seq, command, head)
  local o = { attempt = '1', worker = '', token = '', place = '', begun = '', crashes = '0' }
  if has(head.flags, 'o') then
    local id = record_outcome(a, seq, o, ARGV[5] .. string.format('%03d', mended), digits(now), 'failed', unknown)
    redis.call('HSET', a.record, 'appended', id)
    wake(a)
    redis.call('PUBLISH', a.channel, id)
    return done()
  end
  local value
  if head.kind == 'step' and head.due <= now then
    while redis.call('HEXISTS', a.journal, 'a' .. seq .. '.' .. o.attempt) == 1 do o.attempt = tostring(tonumber(o.attempt) + 1) end
    value = open_value(o.attempt, '', '', enqueue(a, now, seq, o.attempt, head, '0'), '', '0')
  else
    value = place(a, now, tonumber(seq), seq, head, command, { slots = 0, used = 0, queues = '', worker = '' }, {}, {})
  end
  if not value then return end
  redis.call('HSET', a.open, seq, value)
  done()
end

function mend.commands()
  if not live(a) or a.rewound then return end
  local kept = a.kept
  a.kept = 0 -- a child that is asked for again keeps its token: it is the same child
  for i = 6, #ARGV do
    local seq = ARGV[i]
    local command = redis.call('HGET', a.journal, 'c' .. seq)
    local o = command and read_open(a, seq)
    if o then
      rearm(seq, o, head_of(command))
    elseif command and tonumber(seq) <= a.emitted and redis.call('HEXISTS', a.journal, 'r' .. seq) == 0
      and redis.call('HEXISTS', a.journal, 'x' .. seq) == 0
      and redis.call('HEXISTS', a.journal, 'k' .. seq) == 0 then -- its outcome is lost, see settled
      local head = head_of(command)
      local void = has(string.match(head.flags, '^[^s]*'), 'v') and tonumber(seq) > kept
      local answers = head.kind ~= 'value' and head.kind ~= 'reply' and head.kind ~= 'local'
      if answers and not void then place_again(seq, command, head) end
    end
  end
end

redis.call('HDEL', a.record, '') -- see complete
mend[ARGV[3]]()
if mended == 0 then return { 'NOTHING' } end
redis.call('PUBLISH', a.channel, 'm')
return { 'MENDED', mended }
