-- Explains every table, where psql's \d+ shows it: what one row is, who writes it, and when it goes. Rows stay for good
-- unless the comment says otherwise. A migration that adds a table adds its comment.

-- Inventory
COMMENT ON TABLE stock IS
    'A product''s units. available is what may still be sold; version is the sequence of its stock events; only '
    'claims of a gate with this epoch may commit. Written by checkout, reserve, stock and by whatever gives units '
    'back; locked during a commit.';
COMMENT ON TABLE inventory_adjustment IS
    'A change of stock made by hand (INITIAL or RESET). Written by stock; the audit adds them up and compares the '
    'sum with what was sold.';
COMMENT ON TABLE claims IS
    'The end of a claim on the gate: won by the order that committed it, or void. Written once, by the commit or by '
    'settle.';

-- Catalogue
COMMENT ON TABLE products IS
    'A product of the catalogue in its newest version. Written by products. A deleted product stays: order lines '
    'name it.';
COMMENT ON TABLE product_price_history IS
    'A list price and the time in which it was valid: one row per version of a product, closed when the next '
    'begins. Written by products.';
COMMENT ON TABLE product_search IS
    'Projection of the product events: the texts and words that a search reads. Written by refresh_products; '
    'rebuilt from products.';
COMMENT ON TABLE catalogue_keys IS
    'The first reply to an Idempotency-Key of a request that changes the catalogue or a sale. Deleted after its age '
    'ends.';

-- Flash sales
COMMENT ON TABLE flash_sales IS
    'A flash sale: product, price, times, units and limit. Written by flash_sales; open_sales starts and ends it. '
    'version is the sequence of its newest event.';
COMMENT ON TABLE sale_calendar IS
    'A single row, locked while a sale starts or ends; its version numbers the events of all sales.';
COMMENT ON TABLE sale_units IS
    'The units of a buyer in a sale that has a buyer limit. Written in the commit, under the lock of the stock row.';

-- Orders
COMMENT ON TABLE orders IS
    'An order in its present state; version is the sequence of its newest event. Written by checkout, and by each '
    'operation that takes the order a step further.';
COMMENT ON TABLE order_items IS
    'A line of an order: product, quantity and the price at which it was sold. Written with the order.';
COMMENT ON TABLE order_status_history IS
    'A step of an order: what became of it, when, by whom and caused by which event. Written in the transaction of '
    'the step.';
COMMENT ON TABLE order_calls IS
    'An attempt to call the payment gateway for an order: written before the call, completed with its result. '
    'Without a result it is in flight, or its process ended.';
COMMENT ON TABLE buyer_units IS
    'The units of a product that a buyer holds, on all paths together; compared with the product''s buyer limit in '
    'each commit.';
COMMENT ON TABLE idempotency_keys IS
    'The first reply to an Idempotency-Key of an order, written with the order and returned to every repetition. '
    'Deleted after its age ends.';
COMMENT ON TABLE orders_by_customer IS
    'Projection of the order events: a buyer''s list of orders. Written by project_orders; rebuilt by a replay of '
    'the log.';

-- Carts
COMMENT ON TABLE carts IS
    'A cart. One without a buyer belongs to the client that knows its random id. Written by carts; deleted some '
    'time after it expired.';
COMMENT ON TABLE cart_items IS
    'A product in a cart, with the price that was shown when it was added. Deleted with its cart.';

-- Payments
COMMENT ON TABLE payments IS
    'The payment of an order: intended, then charged or declined, then perhaps refunded. Written by pay and refund.';
COMMENT ON TABLE simulated_gateway.charges IS
    'The simulated payment gateway''s books: its first answer to each key, and what became of the money. Proves '
    'that an order is charged once.';
COMMENT ON TABLE simulated_gateway.behaviour IS
    'How the simulated gateway behaves (approve, decline, time out, fail), and for which share of the keys.';

-- Events
COMMENT ON TABLE outbox IS
    'The log: an event, in the bytes in which it is delivered. Written in the transaction of the change that it '
    'reports, and by the ingress. xid finds what became visible after a snapshot.';
COMMENT ON TABLE consumed IS
    'An event that an operation has handled: it is not handled again when it is delivered again.';
COMMENT ON TABLE trigger_cursors IS
    'A Trigger''s position in the log: all that is visible in window_from is dispatched, and of what window_to '
    'adds, all up to position. Deleted when the Trigger no longer exists.';
COMMENT ON TABLE trigger_backlog IS
    'An event that a Trigger''s cursor has passed and whose delivery is not finished: failed and due again, in '
    'flight, or waiting behind such an event. Deleted when it is delivered or a dead letter.';
COMMENT ON TABLE ping_ticks IS
    'The newest tick of a PingSource: the worker that advances it sends the event.';
COMMENT ON TABLE dead_letters IS
    'An event whose delivery was given up, with the last error. Written by keep_dead_letter or the local broker; '
    'replayed or discarded by hand. Rows stay, with what was done and by whom.';

COMMENT ON TABLE schema_migrations IS 'A migration that was applied to this database.';
