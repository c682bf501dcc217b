-- fingerprint: digest what keys of the application hold, for `complete` to compare where no transaction can guard them.
-- Why a script: only the server can digest what `complete` will find there; what the keys hold never leaves it.
-- KEYS 1 tag
-- ARGV 1 bytes that the keys may take together  2… keys
-- Returns FINGERPRINTS fingerprint… | TOO_LARGE bytes
-- Cost: 3 commands a key, on Redis 6 6; DUMP and the digest take 7 ms a megabyte, so all of it is measured first.
--@ fingerprint
local bytes = 0
for i = 2, #ARGV do
  local size = redis.pcall('MEMORY', 'USAGE', ARGV[i]) -- a server in memory does not know it, an absent key has none
  if type(size) == 'number' then bytes = bytes + size end
end
if bytes > tonumber(ARGV[1]) then return { 'TOO_LARGE', string.format('%.0f', bytes) } end
local found = { 'FINGERPRINTS' }
for i = 2, #ARGV do found[i] = fingerprint(ARGV[i]) end
return found
