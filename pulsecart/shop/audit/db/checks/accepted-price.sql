-- a price that its buyer accepted is the price of the line
SELECT order_id, line, product_id, price_minor, accepted_minor
FROM order_items
WHERE accepted_minor <> price_minor
