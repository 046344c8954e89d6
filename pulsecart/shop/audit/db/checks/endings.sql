-- every accepted order has ended, or work for it is still in progress
SELECT order_id, status, updated_at, pay_by, (
    SELECT string_agg(DISTINCT d.trigger, ', ')
    FROM dead_letters d
    WHERE coalesce(d.partitionkey, json_member(d.event, 'partitionkey')) = o.order_id::text AND d.replayed_at IS NULL
) AS dead_letter_of
FROM orders o
WHERE (
        status IN ('PENDING', 'PAID') AND updated_at < %(now)s::timestamptz - %(grace)s::interval
        OR status = 'CONFIRMED' AND pay_by < %(now)s::timestamptz - %(grace)s::interval
    ) AND NOT EXISTS (SELECT FROM waiting WHERE partitionkey = o.order_id::text)
    OR status = 'CONFIRMED' AND pay_by IS NULL
