-- claim: take over the entries that a dead worker had read from one stream and not finished.
-- Why a script: listing and claiming must name the same owner, or two reapers take from each other.
-- KEYS 1 tag (or the gateway's stream)
-- ARGV 1 stream  2 group  3 dead consumer  4 own consumer  5 limit (<= 100)
-- Returns entries: id, fields, number of deliveries with this one
-- Cost: 2 commands.
local pending = redis.pcall('XPENDING', ARGV[1], ARGV[2], '-', '+', ARGV[5], ARGV[3])
if pending.err or #pending == 0 then return {} end
local ids, deliveries = {}, {}
for i, p in ipairs(pending) do
  ids[i] = p[1]
  deliveries[p[1]] = p[4] + 1
end
local claimed = redis.call('XCLAIM', ARGV[1], ARGV[2], ARGV[4], 0, unpack(ids))
local found, reply = {}, {}
for _, entry in ipairs(claimed) do
  -- 6.2 gives nil for an entry that was deleted meanwhile, 7.0 leaves it out
  if entry and entry[1] and entry[2] then
    found[entry[1]] = true
    reply[#reply + 1] = { entry[1], entry[2], deliveries[entry[1]] }
  end
end
for _, id in ipairs(ids) do
  if not found[id] then redis.call('XACK', ARGV[1], ARGV[2], id) end
end
return reply
