-- The units of every product that was ever stocked, held or sold.
SELECT product_id, coalesce(a.initial, 0)::bigint AS initial, coalesce(s.available, 0)::bigint AS "left",
    coalesce(l.held, 0)::bigint AS held, coalesce(l.sold, 0)::bigint AS sold,
    coalesce(s.epoch, 0) AS epoch, coalesce(s.buyer_limit, 0) AS buyer_limit
FROM stock s
FULL JOIN (SELECT product_id, sum(delta) AS initial FROM inventory_adjustment GROUP BY 1) a USING (product_id)
FULL JOIN (
    SELECT i.product_id, sum(i.qty) FILTER (WHERE o.status = 'CONFIRMED') AS held,
        sum(i.qty) FILTER (WHERE o.status IN ('PAID', 'FULFILLED')) AS sold
    FROM orders o JOIN order_items i USING (order_id)
    WHERE o.status IN ('CONFIRMED', 'PAID', 'FULFILLED')
    GROUP BY i.product_id
) l USING (product_id)
