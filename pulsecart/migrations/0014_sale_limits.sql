-- A flash sale's buyer limit counts what was bought in that sale. The product's own limit stays beside it and counts every unit.

ALTER TABLE flash_sales ADD COLUMN buyer_limit int NOT NULL DEFAULT 0 CHECK (buyer_limit >= 0);  -- 0: none
ALTER TABLE order_items ADD COLUMN sale_id text;  -- the sale at whose price the line was ordered; NULL: at the list price

-- Units of a buyer's live lines in a sale that has a limit. Written under the stock row's lock, like buyer_units.
CREATE TABLE sale_units (
    product_id  text NOT NULL,
    buyer_id    text NOT NULL,
    sale_id     text NOT NULL,
    units       int NOT NULL CHECK (units >= 0),
    PRIMARY KEY (product_id, buyer_id, sale_id)
);

-- Sales that are not over: their lines are found by time, and a limit that stood in the product's place becomes the sale's own.
UPDATE order_items i SET sale_id = f.sale_id
FROM orders o, flash_sales f
WHERE o.order_id = i.order_id AND f.product_id = i.product_id AND f.status <> 'ENDED'
    AND o.created_at >= f.starts_at AND o.created_at < f.ends_at;
UPDATE flash_sales f SET buyer_limit = s.buyer_limit
FROM stock s WHERE s.product_id = f.product_id AND f.status <> 'ENDED' AND f.limit_before IS NOT NULL;
UPDATE stock s SET buyer_limit = f.limit_before, epoch = s.epoch + 1  -- gates that were loaded with the old limit end
FROM flash_sales f WHERE s.product_id = f.product_id AND f.status <> 'ENDED' AND f.limit_before IS NOT NULL;
UPDATE flash_sales SET limit_before = NULL;  -- no longer written
INSERT INTO sale_units (product_id, buyer_id, sale_id, units)
SELECT i.product_id, o.buyer_id, i.sale_id, sum(i.qty)
FROM orders o JOIN order_items i USING (order_id) JOIN flash_sales f USING (sale_id)
WHERE f.buyer_limit > 0 AND o.status IN ('CONFIRMED', 'PAID', 'FULFILLED')
GROUP BY 1, 2, 3;
