-- settle: after a refusal, or for an entry that names nothing to do: remove the ready entry only if nothing is left.
-- KEYS 1 tag   ARGV 1 address  2 ready entry
-- Returns IDLE | MORE record… (the caller goes on with the actor)
-- Cost: 4 commands.
--@ actor
local a = load(ARGV[1])
if not a or a.ready ~= ARGV[2] then
  redis.call('XACK', K .. ':ready', 'dispatchers', ARGV[2])
  redis.call('XDEL', K .. ':ready', ARGV[2])
  return { 'IDLE' }
end
local word = settle(a)
if word == 'MORE' then return refuse(word, a) end
return { word }
