-- Keys for which some trigger still has an event to deliver. Without any cursor, every event is still to be delivered.
SELECT o.partitionkey
FROM trigger_cursors c JOIN outbox o ON o.xid >= pg_snapshot_xmin(c.window_from)
WHERE NOT pg_visible_in_snapshot(o.xid, c.window_from)
    AND NOT (pg_visible_in_snapshot(o.xid, c.window_to) AND o.position <= c.position)
UNION SELECT partitionkey FROM trigger_backlog
UNION SELECT partitionkey FROM dead_letters WHERE replay_due_at IS NOT NULL
UNION SELECT partitionkey FROM outbox WHERE NOT EXISTS (SELECT FROM trigger_cursors)
