-- each won claim belongs to exactly one order that took stock, and no order has a void or unknown claim
SELECT claim_id, state AS claim, order_id, status, confirmed
FROM claims
FULL JOIN (
    SELECT coalesce(o.order_id::text, order_events.order_id) AS order_id, claim_id, status, confirmed, count(*) OVER (
        PARTITION BY claim_id
    ) AS sharing
    FROM orders o FULL JOIN order_events ON order_events.order_id = o.order_id::text
    WHERE claim_id IS NOT NULL OR confirmed IS NOT NULL OR status IN ('CONFIRMED', 'PAID', 'FULFILLED')
) AS took USING (claim_id)
WHERE (order_id IS NULL AND state = 'won')
    OR order_id IS NOT NULL AND (state = 'won' AND confirmed IS NOT NULL AND status IS NOT NULL AND sharing = 1) IS NOT TRUE
