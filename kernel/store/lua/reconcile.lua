-- reconcile: send again what was sent long ago without news, and heal a command whose place is gone (it should never be).
-- What waits for a permit the caller asks the pools for again.
-- Why a script: what is open and what is on its way must be of one moment.
-- KEYS 1 tag
-- ARGV 1 now ms  2 address  3 cursor ('0' = begin)  4 age ms of a message without news
-- Returns number of messages sent again, number of commands healed, next cursor ('0' = all were seen), then (pool, priority,
--      member) triples of steps that wait for a permit
-- Cost: 8 commands; 1 an open command, 2 one that waits for a permit, up to 13 one that is put back. 100 open commands a
--      call, and of a large table as many as HSCAN finds in the buckets of one page: a few more at most.
--@ actor
--@ open
--@ outbox
local PAGE = 100
local a = load(ARGV[2])
if not a or not live(a) then return { 0, 0, '0' } end
local now, again, healed = clock(ARGV[1]), 0, 0
local function placed(o, m)
  local queue, entry = string.match(o.place, '^q:([^:]+):([^:@]+)')
  if queue then return #redis.call('XRANGE', K .. ':q:' .. queue, entry, entry) > 0 end
  entry = string.match(o.place, '^outbox:(.+)$')
  if entry then return #redis.call('XRANGE', K .. ':outbox', entry, entry) > 0 end
  local set = string.match(o.place, '^(%a+)')
  return set == 'wait' or set == 'sent' or set == 'pool' or redis.call('ZSCORE', K .. ':' .. set, m) ~= false
end
local function member_of(o, seq)
  if string.sub(o.place, 1, 4) == 'held' then return member(o.worker, a.generation, seq, o.attempt, o.token, a.address) end
  local what = string.match(o.place, '^delayed:(%a+)') or 'retry'
  return member(what, a.generation, seq, o.attempt, '', a.address)
end
local function put_back(seq, o, head)
  if head.kind == 'child' then
    o.place = 'outbox:' .. post(a, 'create', '', { 's', seq, 't', head.token })
  elseif head.kind == 'timer' then
    schedule('delayed', head.due, member_of(o, seq))
  elseif has(head.flags, 'o') and o.worker ~= '' then
    redis.call('ZADD', K .. ':held', 0, member_of(o, seq)) -- it may have started: its worker's audit or its requeue decides
  else
    unplace(a, seq, o)
    o.worker, o.token, o.begun = '', '', ''
    o.place = enqueue(a, now, seq, o.attempt, head, o.crashes)
  end
  redis.call('HSET', a.open, seq, open_value(o.attempt, o.worker, o.token, o.place, o.begun, o.crashes))
end
redis.call('HDEL', a.record, '') -- see complete

-- The next numbers to look at, what is open under them, and the cursor behind them. A small table comes whole, whatever
-- COUNT says: then it is gone through by number, with the cursor `after:<number>`. One that has grown since begins anew.
local function next_page()
  local after = tonumber(string.match(ARGV[3], '^after:(%d+)$'))
  local page = redis.call('HSCAN', a.open, after and '0' or ARGV[3], 'COUNT', PAGE)
  local whole, seqs, values = page[1] == '0' and (after or ARGV[3] == '0'), {}, {}
  for i = 1, #page[2], 2 do
    local seq = page[2][i]
    if not (whole and after and tonumber(seq) <= after) then
      seqs[#seqs + 1] = seq
      values[seq] = page[2][i + 1]
    end
  end
  if not whole or #seqs <= PAGE then return seqs, values, page[1] end
  table.sort(seqs, function(one, other) return tonumber(one) < tonumber(other) end)
  for i = #seqs, PAGE + 1, -1 do seqs[i] = nil end
  return seqs, values, 'after:' .. seqs[PAGE]
end

local asking, awaits = {}, false
local seqs, values, cursor = next_page()
for _, seq in ipairs(seqs) do
  local o = parse_open(values[seq])
  local lost = not placed(o, member_of(o, seq))
  local silent = o.place == 'sent' and tonumber(o.begun ~= '' and o.begun or '0') + tonumber(ARGV[4]) <= now
  if lost or silent then
    put_back(seq, o, head_of(redis.call('HGET', a.journal, 'c' .. seq)))
    if lost then healed = healed + 1 else again = again + 1 end
  end
  local pool, ask = string.match(o.place, '^pool:([^:]+):([^:]+)')
  if pool then
    local command = redis.call('HGET', a.journal, 'c' .. seq)
    asking[#asking + 1] = pool
    asking[#asking + 1] = string.match(head_of(command).flags, 'p(%d)') or '0'
    asking[#asking + 1] = member('permit', a.generation, seq, o.attempt, ask, a.address)
  end
  awaits = awaits or pool ~= nil or o.place == 'sent'
end
-- Nothing that could be without news: what is asked for next is looked after anew.
if not awaits and ARGV[3] == '0' and cursor == '0' then redis.call('ZREM', K .. ':delayed', own_member(a, 'reconcile')) end
return { again, healed, cursor, unpack(asking) }
