-- Of add_named.lua and fire.lua: a queue to which jobs come that have keys has lanes, if it had none before.
lanes = lanes or ARGV[8] ~= '' and {}
