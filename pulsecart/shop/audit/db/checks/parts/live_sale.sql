-- Units that each buyer holds or has bought in each flash sale.
SELECT i.sale_id, o.buyer_id, sum(i.qty)::bigint AS units
FROM orders o JOIN order_items i USING (order_id)
WHERE o.status IN ('CONFIRMED', 'PAID', 'FULFILLED') AND i.sale_id IS NOT NULL
GROUP BY i.sale_id, o.buyer_id
