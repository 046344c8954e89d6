-- all stocked units are left, held or sold
SELECT product_id, initial, "left", held, sold
FROM shelves
WHERE initial <> "left" + held + sold
