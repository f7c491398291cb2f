-- The store's clock.
-- needs:
-- KEYS: any key, which names the node in a cluster
-- returns: now, in microseconds
return clock()
