-- drop: take something out of one of the shared places, if no actor names it any more. For `headrace doctor`.
-- Why a script: the open table and the record decide in the moment in which it goes.
-- KEYS 1 tag
-- ARGV 1 place: held | delayed | retries | expiry | ready | outbox | q:<queue> | index:<index>
--      2 member, or id of the entry
-- Returns DROPPED | KEPT (an actor names it, or it is a message: the courier delivers that) | NOTHING (it is not there)
-- Cost: 5 commands.
--@ actor
--@ open
--@ members
local place, item = ARGV[1], ARGV[2]
local key = K .. ':' .. place
local queue = string.match(place, '^q:(.+)$')

local function is_wanted(a, what, generation, seq, attempt, token)
  if not a or a.generation ~= generation then return false end
  if seq == '0' then
    if what == 'start' then return a.status == 'scheduled' end
    if what == 'sweep' then return ended(a) and (redis.call('EXISTS', a.open) == 1 or redis.call('HEXISTS', a.record, 'doomed') == 1) end
    return not ended(a)
  end
  local o = live(a) and read_open(a, seq)
  if not o or o.attempt ~= attempt then return false end
  if place == 'held' then return string.sub(o.place, 1, 4) == 'held' and o.worker == what and o.token == token end
  if place == 'retries' then return o.place == 'retries' end
  if what == 'timeout' then return o.token == token and string.find(o.place, '^held:timed') ~= nil end
  if what == 'silent' then return o.token == token and string.find(o.place, '^held.*:beats') ~= nil end
  if what == 'waiting' then return string.find(o.place, '^[qdp].*:timed') ~= nil end
  return o.place == 'delayed:' .. what or o.place == 'delayed:' .. what .. ':timed'
end

local function is_wanted_entry(fields)
  local f = {}
  for i = 1, #fields, 2 do f[fields[i]] = fields[i + 1] end
  local a = f.a and string.find(f.a, '^[^/]+/.') and load(f.a)
  if not a then return false end
  if not queue then return a.ready == item end
  local o = f.s and live(a) and a.generation == f.g and read_open(a, f.s)
  local here, there = place .. ':' .. item, o and string.match(o.place, '^[^@]*')
  return o and (there == here or there == here .. ':timed')
end

if place == 'ready' or place == 'outbox' or queue then
  local group = queue and 'workers' or place == 'ready' and 'dispatchers' or 'couriers'
  local entry = redis.call('XRANGE', key, item, item)[1]
  if entry and (place == 'outbox' or is_wanted_entry(entry[2])) then return 'KEPT' end
  local acked = redis.pcall('XACK', key, group, item)
  local deleted = redis.call('XDEL', key, item)
  return (deleted == 1 or acked == 1) and 'DROPPED' or 'NOTHING'
end
if place == 'expiry' or string.sub(place, 1, 6) == 'index:' then
  local a = string.find(item, '^[^/]+/.') and load(item)
  if a and (place ~= 'expiry' or ended(a)) then return 'KEPT' end
elseif string.find(item, '^[^|]*|[^|]*|%d+|%d+|[^|]*|[^/]+/.') then
  local what, generation, seq, attempt, token, address = split_member(item)
  if is_wanted(load(address), what, generation, seq, attempt, token) then return 'KEPT' end
end
return redis.call('ZREM', key, item) == 1 and 'DROPPED' or 'NOTHING'
