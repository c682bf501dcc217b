-- post: one message, and looking after those that wait for an answer. Needs open.
local function post(a, what, to, fields)
  local entry = redis.call('XADD', K .. ':outbox', '*', 'w', what, 'to', to, 'from', a.address, 'g', a.generation, unpack(fields))
  redis.call('HINCRBY', a.record, 'undelivered', 1)
  return entry
end

-- How often an actor that awaits children or permits is looked after.
local RECONCILE_MS = 60000

-- A member of `delayed` that is about the actor itself.
local function own_member(a, what) return member(what, a.generation, '0', '0', '', a.address) end

-- If an answer is lost (a failover that lost acknowledged writes), it is asked for again.
local function look_after(a, now)
  if a.looked_after then return end
  a.looked_after = true
  local m = own_member(a, 'reconcile')
  if not redis.call('ZSCORE', K .. ':delayed', m) then schedule('delayed', now + RECONCILE_MS, m) end
end
