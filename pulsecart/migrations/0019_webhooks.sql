-- Webhooks. An event that matches a subscription becomes one message of it; each try to send a message is one attempt.
-- A message's event is stored once, however many subscriptions it matches.

CREATE TABLE webhook_subscriptions (
    subscription_id uuid PRIMARY KEY,             -- UUIDv7
    partner_id      text NOT NULL,                -- the subject of the partner's token
    url             text NOT NULL,
    event_types     text[] NOT NULL,              -- types, or prefixes that end in .*
    content_mode    text NOT NULL CHECK (content_mode IN ('structured', 'binary')),
    signature       text NOT NULL CHECK (signature IN ('v1', 'v1a')),
    ordered         boolean NOT NULL,
    concurrency     integer NOT NULL CHECK (concurrency BETWEEN 1 AND 100),
    rate_per_s      double precision CHECK (rate_per_s > 0),  -- NULL: no limit of its own
    schedule_s      integer[] NOT NULL,           -- the delay before each retry
    consent         text NOT NULL CHECK (consent IN ('optional', 'required')),
    status          text NOT NULL CHECK (status IN ('ACTIVE', 'PAUSED', 'FAILING', 'DISABLED')),
    status_reason   text NOT NULL DEFAULT '',     -- why it is not ACTIVE
    status_since    timestamptz NOT NULL,
    version         bigint NOT NULL,              -- also the sequence of its events
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz
);
CREATE INDEX webhook_subscriptions_partner ON webhook_subscriptions (partner_id, subscription_id) WHERE deleted_at IS NULL;
CREATE INDEX webhook_subscriptions_deleted ON webhook_subscriptions (deleted_at) WHERE deleted_at IS NOT NULL;

-- The patterns of the subscriptions that are not deleted: an event's type and its prefixes are looked up here.
CREATE TABLE webhook_subscription_types (
    pattern         text NOT NULL,
    subscription_id uuid NOT NULL REFERENCES webhook_subscriptions,
    PRIMARY KEY (pattern, subscription_id)
);
CREATE INDEX webhook_subscription_types_of ON webhook_subscription_types (subscription_id);

CREATE TABLE webhook_secrets (
    secret_id       uuid PRIMARY KEY,             -- UUIDv7: the newest signs first
    subscription_id uuid NOT NULL REFERENCES webhook_subscriptions,
    sealed          bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    ends_at         timestamptz                   -- set when the secret is rotated
);
CREATE INDEX webhook_secrets_of ON webhook_secrets (subscription_id);

-- What sending changes. This row is locked by whoever adds, claims or ends messages of its subscription.
CREATE TABLE webhook_queues (
    subscription_id uuid PRIMARY KEY REFERENCES webhook_subscriptions ON DELETE CASCADE,
    held            boolean NOT NULL DEFAULT false,  -- PAUSED, DISABLED or deleted: nothing is sent
    due_at          timestamptz,                  -- the earliest time at which a message can be claimed; NULL: none can
    not_before      timestamptz,                  -- Retry-After, a slowed-down endpoint, or the next probe
    next_free_at    timestamptz,                  -- when the rate allows the next attempt
    failures        integer NOT NULL DEFAULT 0,   -- failed attempts since the last success
    first_failed_at timestamptz,                  -- the first of them
    slowed          integer NOT NULL DEFAULT 0,   -- how often the endpoint was slowed down since its last success
    unwell          boolean NOT NULL GENERATED ALWAYS AS (failures > 0 OR slowed > 0) STORED,  -- shares half of a process at most
    consent_at      timestamptz,                  -- the last handshake; NULL: none for this URL
    consented       boolean,                      -- what it answered; NULL: neither consent nor refusal
    allowed_per_min integer                       -- the rate of the consent; NULL: any
);
CREATE INDEX webhook_queues_due ON webhook_queues (unwell, due_at) WHERE due_at IS NOT NULL AND NOT held;

CREATE TABLE webhook_events (
    event_key       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source          text NOT NULL,
    event_id        text NOT NULL,
    type            text NOT NULL,
    subject         text,
    body            bytea NOT NULL,               -- the event as structured JSON: the bytes that are sent
    created_at      timestamptz NOT NULL,
    UNIQUE (source, event_id)
);

CREATE TABLE webhook_messages (
    message_id      uuid PRIMARY KEY,             -- UUIDv7; sent as webhook-id, the same for every attempt
    position        bigint GENERATED ALWAYS AS IDENTITY,  -- the order within a subscription: given under its queue's lock
    subscription_id uuid NOT NULL REFERENCES webhook_subscriptions,
    event_key       bigint NOT NULL REFERENCES webhook_events,
    lane            text,                         -- the event's partitionkey where the subscription is ordered
    status          text NOT NULL CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED', 'SKIPPED')),
    retries         integer NOT NULL DEFAULT 0,   -- how much of the schedule is used up
    attempts        integer NOT NULL DEFAULT 0,
    due_at          timestamptz,                  -- NULL: ended, or waits behind its lane's first open message
    claimed_until   timestamptz,                  -- an attempt is in flight; after that its process is considered gone: due_at has the same value
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    UNIQUE (event_key, subscription_id)           -- in this order also for deleting events without messages
);
CREATE INDEX webhook_messages_due ON webhook_messages (subscription_id, due_at, position) WHERE status = 'PENDING' AND due_at IS NOT NULL;
CREATE INDEX webhook_messages_in_flight ON webhook_messages (subscription_id, claimed_until) WHERE claimed_until IS NOT NULL;
CREATE INDEX webhook_messages_lane ON webhook_messages (subscription_id, lane, position) WHERE lane IS NOT NULL AND status IN ('PENDING', 'FAILED');
CREATE INDEX webhook_messages_listed ON webhook_messages (subscription_id, position);
CREATE INDEX webhook_messages_left ON webhook_messages (subscription_id, position) WHERE status IN ('FAILED', 'SKIPPED');
CREATE INDEX webhook_messages_failed ON webhook_messages (subscription_id, ended_at) WHERE status = 'FAILED';
-- What is deleted after WEBHOOK_KEEP_DAYS: a FAILED message of a lane is not, because the lane waits for it.
CREATE INDEX webhook_messages_ended ON webhook_messages (ended_at)
    WHERE ended_at IS NOT NULL AND (status <> 'FAILED' OR lane IS NULL);

-- Written with its start before it is sent, and completed with its result: one without a result was in flight when its
-- process ended, or is in flight now. The bytes of its body are those of its event.
CREATE TABLE webhook_delivery_attempts (
    message_id      uuid NOT NULL REFERENCES webhook_messages ON DELETE CASCADE,
    number          integer NOT NULL,             -- 1 is the first
    subscription_id uuid NOT NULL,
    probe           boolean NOT NULL,             -- made while the subscription was FAILING: uses up no retry
    url             text NOT NULL,
    content_mode    text NOT NULL,
    began_at        timestamptz NOT NULL,
    request_headers jsonb,                        -- as sent, signatures included
    ended_at        timestamptz,
    result          text,                         -- delivered, http (any other answer), timeout, connect, reset, tls, …, canceled
    status          integer,                      -- the answer's status
    response_headers jsonb,
    response_body   bytea,                        -- its first bytes
    error           text,
    next_try_at     timestamptz,
    PRIMARY KEY (message_id, number)
);
CREATE INDEX webhook_attempts_listed ON webhook_delivery_attempts (subscription_id, began_at, message_id, number);

COMMENT ON TABLE webhook_subscriptions IS
    'What a partner subscribes to: a URL, event types and how to send. Written by webhooks; its status also by '
    'webhook_deliver, which deletes a deleted one after WEBHOOK_KEEP_DAYS, when it has no messages any more.';
COMMENT ON TABLE webhook_subscription_types IS
    'A type, or a prefix of types, of a subscription that is not deleted. Written by webhooks.';
COMMENT ON TABLE webhook_secrets IS
    'A secret that signs a subscription''s messages, encrypted with a key of WEBHOOK_KEYS. A rotated one signs until '
    'its end; a subscription''s secrets are deleted with it.';
COMMENT ON TABLE webhook_queues IS
    'The state of sending to a subscription: when something is due, what slows it down, what its endpoint allowed. '
    'Its row is the lock of the subscription''s messages.';
COMMENT ON TABLE webhook_events IS
    'An event that matched at least one subscription, in the bytes that are sent. Written by webhook_deliver; '
    'deleted with its last message.';
COMMENT ON TABLE webhook_messages IS
    'An event for a subscription: waiting, in flight, delivered, given up (FAILED) or skipped, by hand or because its '
    'subscription was deleted. Deleted WEBHOOK_KEEP_DAYS after its end, but not a FAILED one of a lane.';
COMMENT ON TABLE webhook_delivery_attempts IS
    'A try to send a message, with the headers sent and the answer. Written by webhook_deliver before and after it; '
    'deleted with its message.';
COMMENT ON TABLE catalogue_keys IS
    'The first reply to an Idempotency-Key of a request that changes the catalogue, a sale or a webhook subscription; of '
    'the last it is sealed with a key of WEBHOOK_KEYS, because it shows a secret. Deleted after its age ends.';

-- Events from partners

-- A product belongs to one partner at most; an order is a partner's own if all its products are.
CREATE TABLE partner_products (
    product_id      text PRIMARY KEY REFERENCES products,
    partner_id      text NOT NULL,                -- the subject of the partner's token
    assigned_at     timestamptz NOT NULL
);
CREATE INDEX partner_products_of ON partner_products (partner_id, product_id);

CREATE TABLE partner_sources (
    source_id       uuid PRIMARY KEY,             -- UUIDv7; the last part of its URL
    partner_id      text NOT NULL,
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz                   -- its requests are no longer accepted
);
CREATE INDEX partner_sources_of ON partner_sources (partner_id, source_id) WHERE ended_at IS NULL;

CREATE TABLE partner_source_secrets (
    secret_id       uuid PRIMARY KEY,             -- UUIDv7
    source_id       uuid NOT NULL REFERENCES partner_sources,
    sealed          bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    ends_at         timestamptz                   -- set when the secret is rotated
);
CREATE INDEX partner_source_secrets_of ON partner_source_secrets (source_id);

COMMENT ON TABLE partner_products IS
    'The partner that a product belongs to: it ships the product''s orders and adjusts its stock. Written by '
    'partners; deleted when the product is taken from the partner.';
COMMENT ON TABLE partner_sources IS
    'An event source: a URL to which a partner posts events that are signed instead of sent with a token. Written by '
    'partners. An ended one stays.';
COMMENT ON TABLE partner_source_secrets IS
    'A secret that verifies the requests of an event source, encrypted with a key of WEBHOOK_KEYS. A rotated one '
    'verifies until its end and is deleted by the next rotation.';
