-- each buyer's counter is the sum of the units that they hold or have bought
SELECT product_id, buyer_id, b.units AS counted, live.units
FROM buyer_units b FULL JOIN live USING (product_id, buyer_id)
WHERE coalesce(b.units, 0) <> coalesce(live.units, 0)
