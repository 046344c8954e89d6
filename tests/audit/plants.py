"""Lists an SQL script for each kind of error that the audit must find."""

CREATED, PAID = "ecommerce.order.order.created.v1", "ecommerce.order.order.paid.v1"
STOCK = "ecommerce.inventory.stock.adjusted.v1"

SALE_OF_ONE = (
    "INSERT INTO flash_sales (sale_id, product_id, price_minor, starts_at, ends_at, status, buyer_limit)"
    " VALUES ('s', '1', 4990, now() - interval '1 day', now(), 'ENDED', 1); "
)

# check, what goes wrong, the SQL that does it; {NAME} is the order that ended so.
PLANTS: list[tuple[str, str, str]] = [
    ("units", "a unit is lost", "UPDATE stock SET available = available - 1 WHERE product_id = '1'"),
    ("units", "a unit is sold twice", "UPDATE order_items SET qty = qty + 1 WHERE order_id = '{PAID}'"),
    ("units", "a unit was never stocked", "DELETE FROM inventory_adjustment WHERE product_id = 'P-2'"),
    ("units", "something unknown is sold", "UPDATE order_items SET product_id = 'ghost' WHERE order_id = '{PAID}'"),
    ("buyer-limit", "a buyer has more than allowed", "UPDATE order_items SET qty = 3 WHERE order_id = '{CONFIRMED}'"),
    ("buyer-limit", "two orders are too many", "UPDATE orders SET buyer_id = 'greedy' WHERE status <> 'PENDING';"
     "UPDATE order_items SET product_id = '1'"),
    ("buyer-units", "a counter is too low", "UPDATE buyer_units SET units = 0 WHERE buyer_id = 'buyer-1'"),
    ("buyer-units", "a counter is too high", "UPDATE buyer_units SET units = 2 WHERE buyer_id = 'buyer-5'"),
    ("buyer-units", "a counter is missing", "DELETE FROM buyer_units WHERE buyer_id = 'buyer-1'"),
    ("sale-limit", "a buyer has too many of a sale", SALE_OF_ONE + "UPDATE order_items SET qty = 2, sale_id = 's'"
     " WHERE order_id = '{CONFIRMED}'"),
    ("sale-units", "a sale's counter is missing", SALE_OF_ONE + "UPDATE order_items SET sale_id = 's'"
     " WHERE order_id = '{CONFIRMED}'"),
    ("sale-units", "a sale's counter is too high", SALE_OF_ONE + "INSERT INTO sale_units VALUES ('1', 'x', 's', 1)"),
    ("order-total", "a total is wrong", "UPDATE orders SET total_minor = 1 WHERE order_id = '{PAID}'"),
    ("order-total", "an order has no line", "DELETE FROM order_items WHERE order_id = '{SOLD_OUT}'"),
    ("order-history", "a step was not said", "DELETE FROM outbox WHERE type = '{paid}' AND subject = '{FULFILLED}'"),
    ("order-history", "the last step was not said", "DELETE FROM outbox WHERE type = '{paid}' AND subject = '{PAID}'"),
    ("order-history", "a step was said twice", "INSERT INTO outbox (id, source, type, partitionkey, extensions)"
     " SELECT 'again', source, type, partitionkey, extensions FROM outbox WHERE type = '{paid}' LIMIT 1"),
    ("order-history", "a step was said twice under a new number", "INSERT INTO outbox (id, source, type, subject,"
     " partitionkey, extensions) SELECT 'again', source, type, subject, partitionkey,"
     " json_build_object('sequence', '00000000000000000004') FROM outbox WHERE type = '{paid}' AND subject = '{PAID}';"
     " UPDATE orders SET version = 4 WHERE order_id = '{PAID}'"),
    ("order-history", "an event about its money was said twice", "INSERT INTO outbox (id, source, type, partitionkey,"
     " extensions) SELECT 'again', source, type, partitionkey, extensions FROM outbox"
     " WHERE type = 'ecommerce.payment.payment.refunded.v1'"),
    ("order-history", "a number was skipped", "UPDATE orders SET version = 5 WHERE order_id = '{PAID}'; UPDATE outbox"
     " SET extensions = json_build_object('sequence', '5') WHERE type = '{paid}' AND subject = '{PAID}'"),
    ("order-history", "an order was never said", "DELETE FROM outbox WHERE subject = '{SOLD_OUT}'"),
    ("order-history", "an event has no order", "UPDATE outbox SET partitionkey = 'ghost' WHERE subject = '{SOLD_OUT}'"),
    ("order-history", "a state was not said", "UPDATE orders SET status = 'PAID' WHERE order_id = '{CONFIRMED}'"),
    ("order-history", "a version was not said", "UPDATE orders SET version = 9 WHERE order_id = '{PAID}'"),
    ("order-history", "an event has no number", "UPDATE outbox SET extensions = '{{}}' WHERE subject = '{PAID}'"),
    ("order-history", "a number is nonsense", "UPDATE outbox SET extensions = '{{\"sequence\": \"x\"}}'"
     " WHERE subject = '{PAID}'"),
    ("order-history", "an order went on after its end", "UPDATE outbox SET type = '{created}'"
     " WHERE subject = '{SOLD_OUT}'"),
    ("paid-unconfirmed", "an order was paid and never confirmed", "DELETE FROM outbox"
     " WHERE type = 'ecommerce.order.order.confirmed.v1' AND subject = '{PAID}'"),
    ("paid-unconfirmed", "an order was confirmed after it was paid", "UPDATE outbox SET extensions ="
     " json_build_object('sequence', '4') WHERE type = 'ecommerce.order.order.confirmed.v1' AND subject = '{PAID}'"),
    ("status-history", "a step was not noted", "DELETE FROM order_status_history WHERE order_id = '{FULFILLED}'"
     " AND status = 'PAID'"),
    ("status-history", "the last step was not noted", "DELETE FROM order_status_history WHERE order_id = '{PAID}'"
     " AND status = 'PAID'"),
    ("status-history", "an order has no history", "DELETE FROM order_status_history WHERE order_id = '{SOLD_OUT}'"),
    ("status-history", "a history has no order", "INSERT INTO order_status_history (order_id, sequence, status,"
     " happened_at, actor) VALUES (gen_random_uuid(), 1, 'PENDING', now(), 'operation:test')"),
    ("status-history", "a step was taken that there is not", "UPDATE order_status_history SET status = 'CANCELED'"
     " WHERE order_id = '{FULFILLED}' AND status = 'PAID'"),
    ("status-history", "a history ends elsewhere", "UPDATE order_status_history SET status = 'PAID'"
     " WHERE order_id = '{RETURNED}' AND status = 'CANCELED'"),
    ("status-history", "a step was noted that nobody told", "INSERT INTO order_status_history SELECT order_id, 4,"
     " 'CANCELED', happened_at, actor FROM order_status_history WHERE order_id = '{PAID}' AND sequence = 3;"
     " UPDATE orders SET version = 4, status = 'CANCELED' WHERE order_id = '{PAID}'"),
    ("stock-history", "a change of stock was not said", "DELETE FROM outbox WHERE position ="
     " (SELECT max(position) FROM outbox WHERE type = '{stock}')"),
    ("stock-history", "a change of stock was said twice", "INSERT INTO outbox (id, source, type, partitionkey,"
     " extensions, data) SELECT 'again', source, type, partitionkey, extensions, data FROM outbox"
     " WHERE type = '{stock}' LIMIT 1"),
    ("stock-history", "the deltas are not what is left", "UPDATE stock SET available = 7 WHERE product_id = 'P-2'"),
    ("stock-history", "the version was not said", "UPDATE stock SET version = version + 1"),
    ("stock-steps", "an event's figures do not follow", "UPDATE outbox SET data = convert_to("
     "(convert_from(data, 'UTF8')::jsonb || '{{\"available\": 1}}')::text, 'UTF8') WHERE position ="
     " (SELECT max(position) FROM outbox WHERE type = '{stock}')"),
    ("adjustments-told", "stocking was not said", "INSERT INTO inventory_adjustment (product_id, delta, reason)"
     " VALUES ('1', 5, 'RESET')"),
    ("claims", "a claim won nothing", "INSERT INTO claims (claim_id, state) VALUES (gen_random_uuid(), 'won')"),
    ("claims", "a live order's claim is void", "UPDATE claims SET state = 'void'"
     " WHERE claim_id = (SELECT claim_id FROM orders WHERE order_id = '{CONFIRMED}')"),
    ("claims", "a live order's claim is gone", "DELETE FROM claims"
     " WHERE claim_id = (SELECT claim_id FROM orders WHERE order_id = '{PAID}')"),
    ("claims", "an order took stock without a claim", "UPDATE orders SET claim_id = NULL WHERE order_id = '{PAID}'"),
    ("claims", "two orders live on one claim", "UPDATE orders SET claim_id ="
     " (SELECT claim_id FROM orders WHERE order_id = '{PAID}') WHERE order_id = '{CONFIRMED}'"),
    ("claims", "a claim was won for an order that never took stock", "WITH c AS (INSERT INTO claims (claim_id, state)"
     " VALUES (gen_random_uuid(), 'won') RETURNING claim_id) UPDATE orders SET claim_id = (SELECT claim_id FROM c)"
     " WHERE order_id = '{SOLD_OUT}'"),
    ("payments", "a paid order was not charged", "DELETE FROM payments WHERE order_id = '{FULFILLED}'"),
    ("payments", "a paid order's charge was declined", "UPDATE payments SET status = 'DECLINED'"
     " WHERE order_id = '{PAID}'"),
    ("payments", "the charge is not the total", "UPDATE payments SET amount_minor = 1 WHERE order_id = '{PAID}'"),
    ("payments", "the charge is in another currency", "UPDATE payments SET currency = 'EUR'"
     " WHERE order_id = '{PAID}'"),
    ("payments", "money was taken before the order is paid", "UPDATE payments SET order_id = '{CONFIRMED}'"
     " WHERE order_id = '{RETURNED}'; UPDATE payments SET status = 'CHARGED' WHERE order_id = '{CONFIRMED}'"),
    ("payments", "a canceled order's money is kept", "UPDATE payments SET status = 'CHARGED'"
     " WHERE order_id = '{RETURNED}'"),
    ("payments", "nobody asks whether a canceled order was charged", "UPDATE payments SET status = 'INTENDED'"
     " WHERE order_id = '{RETURNED}'"),
    ("accepted-price", "another price than the accepted one", "UPDATE order_items SET accepted_minor = price_minor + 1"
     " WHERE order_id = '{PAID}'"),
    ("money", "an order was paid twice", "INSERT INTO outbox (id, source, type, partitionkey, data) SELECT 'again',"
     " source, type, partitionkey, data FROM outbox WHERE type = '{paid}' AND subject = '{PAID}'"),
    ("money", "another amount was paid than the total", "UPDATE outbox SET data = convert_to("
     "(convert_from(data, 'UTF8')::jsonb || '{{\"totalAmount\": 1.5}}')::text, 'UTF8') WHERE type = '{paid}'"
     " AND subject = '{PAID}'"),
    ("money", "less was charged than paid", "UPDATE simulated_gateway.charges SET amount_minor = amount_minor - 1"
     " WHERE idempotency_key = (SELECT payment_id::text FROM payments WHERE order_id = '{PAID}')"),
    ("money", "another amount was refunded than paid", "UPDATE outbox SET data = convert_to("
     "(convert_from(data, 'UTF8')::jsonb || '{{\"amount\": 49.89}}')::text, 'UTF8')"
     " WHERE type = 'ecommerce.payment.payment.refunded.v1'"),
    ("money", "a refund was said twice", "INSERT INTO outbox (id, source, type, partitionkey, data) SELECT 'again',"
     " source, type, partitionkey, data FROM outbox WHERE type = 'ecommerce.payment.payment.refunded.v1'"),
    ("money", "money went back and is still kept", "UPDATE simulated_gateway.charges SET status = 'CHARGED'"
     " WHERE status = 'REFUNDED'"),
    ("gateway", "the gateway took money that no payment knows", "INSERT INTO simulated_gateway.charges"
     " VALUES ('other', 'sim_other', 4990, 'USD', 'CHARGED', now(), now())"),
    ("gateway", "the gateway never took it", "DELETE FROM simulated_gateway.charges WHERE status = 'CHARGED'"),
    ("gateway", "the gateway took another amount", "UPDATE simulated_gateway.charges SET amount_minor = 1"),
    ("gateway", "the gateway never gave it back", "UPDATE simulated_gateway.charges SET status = 'CHARGED'"),
    ("gateway", "the gateway took what we think it declined", "UPDATE payments SET status = 'DECLINED'"
     " WHERE order_id = '{PAID}'"),
    ("refunds", "money went back twice", "INSERT INTO outbox (id, source, type, partitionkey) SELECT 'again', source,"
     " type, partitionkey FROM outbox WHERE type = 'ecommerce.payment.payment.refunded.v1'"),
    ("refunds", "a refund was not said", "DELETE FROM outbox WHERE type = 'ecommerce.payment.payment.refunded.v1'"),
    ("endings", "an accepted order is forgotten", "UPDATE orders SET updated_at = now() - interval '1 minute'"
     " WHERE order_id = '{PENDING}'"),
    ("endings", "a paid order is never shipped", "UPDATE orders SET updated_at = now() - interval '1 minute'"
     " WHERE order_id = '{PAID}'"),
    ("endings", "an unpaid order never expires", "UPDATE orders SET pay_by = now() - interval '1 minute'"
     " WHERE order_id = '{CONFIRMED}'"),
    ("endings", "a confirmed order can never expire", "UPDATE orders SET pay_by = NULL WHERE order_id = '{CONFIRMED}'"),
    ("idempotency", "a key's order does not exist", "UPDATE idempotency_keys SET order_id = gen_random_uuid()"),
    ("idempotency", "a stored reply is another order's", "UPDATE idempotency_keys SET order_id = '{CONFIRMED}'"),
    ("idempotency", "a stored reply is no JSON", "UPDATE idempotency_keys SET body = 'oops'"),
    ("projection", "a projection is ahead", "UPDATE orders_by_customer SET sequence = 7"),
    ("projection", "a projection shows another state", "UPDATE orders_by_customer SET status = 'CANCELED'"),
    ("projection", "a projection is another customer's", "UPDATE orders_by_customer SET customer_id = 'mallory'"),
]  # fmt: skip
