-- The simulated payment gateway: an outsider that happens to keep its books here, so that "charged once" can be proved.

CREATE SCHEMA simulated_gateway;

-- What it answered to each key the first time, and what became of that money.
CREATE TABLE simulated_gateway.charges (
    idempotency_key  text PRIMARY KEY,
    reference        text NOT NULL UNIQUE,
    amount_minor     bigint NOT NULL CHECK (amount_minor >= 0),
    currency         text NOT NULL,
    status           text NOT NULL CHECK (status IN ('CHARGED', 'DECLINED', 'REFUNDED', 'VOIDED')),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);

-- How it was told to behave, towards which share of the keys.
CREATE TABLE simulated_gateway.behaviour (
    one_row  boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    mode     text NOT NULL DEFAULT 'approve' CHECK (mode IN ('approve', 'decline', 'timeout', 'fail')),
    share    double precision NOT NULL DEFAULT 1 CHECK (share BETWEEN 0 AND 1)
);
INSERT INTO simulated_gateway.behaviour DEFAULT VALUES;
