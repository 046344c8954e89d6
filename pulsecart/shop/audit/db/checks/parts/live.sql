-- Units that each buyer holds or has bought.
SELECT i.product_id, o.buyer_id, sum(i.qty)::bigint AS units
FROM orders o JOIN order_items i USING (order_id)
WHERE o.status IN ('CONFIRMED', 'PAID', 'FULFILLED')
GROUP BY i.product_id, o.buyer_id
